#include "parallel/work_message.h"

#include <cstring>
#include <type_traits>

#include <fmt/format.h>
#include <toplens/error.h>

namespace toplens {
namespace {

struct TaskHeader {
  int number = 0;
  std::uint64_t first = 0, count = 0;
};

// All ranks run the same build (that is compared first), so structures travel as they are.
template <typename Header>
std::string as_bytes(const Header& header) {
  static_assert(std::is_trivially_copyable_v<Header>);
  return {reinterpret_cast<const char*>(&header), sizeof(Header)};
}

template <typename Header>
Header from_bytes(std::string_view bytes, const char* what) {
  static_assert(std::is_trivially_copyable_v<Header>);
  if (bytes.size() < sizeof(Header)) {
    throw Error(fmt::format("a message between ranks is no {}: {} bytes", what, bytes.size()));
  }
  Header header;
  std::memcpy(&header, bytes.data(), sizeof(Header));
  return header;
}

}  // namespace

std::string MemberFailure::text() const {
  return fmt::format("rank {} on {}: {}", rank, host, message);
}

std::string encode(const std::optional<WorkTask>& task) {
  if (!task) return "";
  return as_bytes(TaskHeader{task->number, task->first, task->count}) + task->description;
}

std::optional<WorkTask> decode_task(std::string_view bytes) {
  if (bytes.empty()) return std::nullopt;
  const auto header = from_bytes<TaskHeader>(bytes, "task");
  return WorkTask{header.number, header.first, header.count,
                  std::string(bytes.substr(sizeof(TaskHeader)))};
}

std::string encode(const MemberFailure& failure) {
  return as_bytes(failure.kind) + failure.host + '\n' + failure.message;
}

MemberFailure decode_failure(int from, std::string_view bytes) {
  MemberFailure failure;
  failure.rank = from;
  failure.kind = from_bytes<FailureKind>(bytes, "failure");
  bytes.remove_prefix(sizeof(FailureKind));
  const std::size_t end = bytes.find('\n');
  if (end == std::string_view::npos) throw Error("a message between ranks is no failure: no host");
  failure.host = bytes.substr(0, end);
  failure.message = bytes.substr(end + 1);
  return failure;
}

std::string encode(const ResultHeader& header) { return as_bytes(header); }

ResultHeader decode_result_header(std::string_view bytes) {
  return from_bytes<ResultHeader>(bytes, "result");
}

}  // namespace toplens
