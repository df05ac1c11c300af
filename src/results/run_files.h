#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace toplens {

/// What run.json says of a file of the run.
struct FileRecord {
  std::uint64_t bytes = 0;
  std::string sha256;
};

/// By path within the run directory: "geometry.nc", "parts/part-0000.nc".
using FileRecords = std::map<std::string, FileRecord>;

/// Of a file as it is. `step` is called between pieces. Throws Error naming the file where it
/// cannot be read or is no regular file.
FileRecord describe_file(const std::filesystem::path& path, const std::function<void()>& step = {});

/// "files" of run.json.
nlohmann::ordered_json files_json(const FileRecords& files);
/// "files" read back; none where the run was made before files were recorded. `where` names
/// run.json. Throws Error where it is damaged, or a name leads out of the run directory.
std::optional<FileRecords> files_of(const nlohmann::ordered_json& run, const std::string& where);

/// Whether a recorded file is there and the same; reads it whole.
bool is_as_recorded(const std::filesystem::path& run_directory, const std::string& name,
                    const FileRecord& record);

/// How a run directory differs from its record.
struct FileDifferences {
  std::vector<std::string> changed;   ///< one sentence each: which file, what is recorded and found
  std::vector<std::string> unlisted;  ///< files that are there and not recorded, run.json left out
  std::uint64_t bytes = 0;            ///< read and compared
};

/// Reads every recorded file whole. `step` is called between pieces. Throws Error where the
/// directory cannot be listed.
FileDifferences compare_files(const std::filesystem::path& run_directory, const FileRecords& files,
                              const std::function<void()>& step);

}  // namespace toplens
