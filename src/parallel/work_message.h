#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace toplens {

/// A piece of work: some documents of the run, whose results make one file, or what the description
/// says.
struct WorkTask {
  int number = 0;
  std::uint64_t first = 0;       ///< document
  std::uint64_t count = 0;       ///< documents
  std::string description = {};  ///< bytes that leader and members agree upon
};

enum class FailureKind { error, usage, interrupted };

/// Why a member cannot go on.
struct MemberFailure {
  int rank = 0;
  FailureKind kind = FailureKind::error;
  std::string host;
  std::string message;
  /// "rank 3 on node7: model.safetensors: cannot open: ..."
  std::string text() const;
};

struct ResultHeader {
  int task = 0;
  std::uint64_t bytes = 0;
};

/// Messages of work_leader.h as bytes. Decoding throws Error where they are none of ours.
std::string encode(const std::optional<WorkTask>& task);
std::optional<WorkTask> decode_task(std::string_view bytes);
std::string encode(const MemberFailure& failure);
MemberFailure decode_failure(int from, std::string_view bytes);
std::string encode(const ResultHeader& header);
ResultHeader decode_result_header(std::string_view bytes);

}  // namespace toplens
