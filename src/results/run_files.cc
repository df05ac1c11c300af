#include "results/run_files.h"

#include <algorithm>

#include <fmt/format.h>
#include <toplens/error.h>

#include "io/json_text.h"
#include "io/system_error.h"
#include "results/digest.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// A file in the run directory or in one folder of it, under a name that means nothing else.
bool stays_inside(const std::string& name) {
  const fs::path path(name);
  if (name.empty() || path.is_absolute() || !path.has_filename()) return false;
  return std::none_of(path.begin(), path.end(), [](const fs::path& element) {
    return element == ".." || element == "." || element.empty();
  });
}

bool is_sha256(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == text.npos;
}

std::vector<std::string> files_below(const fs::path& directory) {
  std::vector<std::string> names;
  try {
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
      if (entry.is_directory()) continue;
      names.push_back(entry.path().lexically_relative(directory).string());
    }
  } catch (const fs::filesystem_error& error) {
    throw_system_error(directory, "cannot list", error.code().value());
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// One sentence, empty where the file is as recorded.
std::string difference(const fs::path& path, const std::string& name, const FileRecord& recorded,
                       const std::function<void()>& step, std::uint64_t& bytes) {
  std::error_code error;
  if (!fs::exists(path, error)) return fmt::format("{} is missing", in_quotes(name));
  const std::uint64_t size = fs::is_regular_file(path, error) ? fs::file_size(path, error) : 0;
  if (!error && size != recorded.bytes) {
    return fmt::format("{} has {} bytes, recorded are {}", in_quotes(name), size, recorded.bytes);
  }
  try {
    const FileRecord found = describe_file(path, step);
    bytes += found.bytes;
    if (found.sha256 == recorded.sha256) return "";
    return fmt::format("{} has the recorded size but SHA-256 {}, recorded is {}", in_quotes(name),
                       found.sha256, recorded.sha256);
  } catch (const Error& unreadable) {
    return unreadable.what();
  }
}

}  // namespace

FileRecord describe_file(const fs::path& path, const std::function<void()>& step) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) {
    throw Error(fmt::format("{}: is not there or no regular file", path.string()));
  }
  FileRecord record;
  record.bytes = fs::file_size(path, error);
  if (error) throw_system_error(path, "cannot read", error.value());
  record.sha256 = sha256_file(path, step);
  return record;
}

Json files_json(const FileRecords& files) {
  Json json = Json::object();
  for (const auto& [name, record] : files) {
    json[name] = {{"bytes", record.bytes}, {"sha256", record.sha256}};
  }
  return json;
}

std::optional<FileRecords> files_of(const Json& run, const std::string& where) {
  const auto found = run.find("files");
  if (found == run.end() || found->is_null()) return std::nullopt;
  if (!found->is_object()) throw Error(fmt::format("{}: 'files' is no object", where));
  FileRecords files;
  for (const auto& [name, entry] : found->items()) {
    if (!stays_inside(name)) {
      throw Error(fmt::format("{}: 'files' names {}, which is no file in the run directory", where,
                              in_quotes(name)));
    }
    FileRecord record;
    if (entry.is_object() && entry.contains("bytes") && entry["bytes"].is_number_unsigned() &&
        entry.contains("sha256") && entry["sha256"].is_string()) {
      record.bytes = entry["bytes"].get<std::uint64_t>();
      record.sha256 = entry["sha256"].get<std::string>();
    }
    if (!is_sha256(record.sha256)) {
      throw Error(fmt::format("{}: 'files' has no size and SHA-256 of {}", where, in_quotes(name)));
    }
    files[name] = record;
  }
  return files;
}

bool is_as_recorded(const fs::path& run_directory, const std::string& name,
                    const FileRecord& record) {
  std::uint64_t bytes = 0;
  return difference(run_directory / name, name, record, {}, bytes).empty();
}

FileDifferences compare_files(const fs::path& run_directory, const FileRecords& files,
                              const std::function<void()>& step) {
  FileDifferences differences;
  for (const auto& [name, recorded] : files) {
    std::string found = difference(run_directory / name, name, recorded, step, differences.bytes);
    if (!found.empty()) differences.changed.push_back(std::move(found));
  }
  for (const std::string& name : files_below(run_directory)) {
    if (name != "run.json" && !files.contains(name)) differences.unlisted.push_back(name);
  }
  return differences;
}

}  // namespace toplens
