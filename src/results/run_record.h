#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "results/run_files.h"

namespace toplens {

/// run.json as `verify` needs it: read from a file that is not trusted, every field checked.
// The check means the JSON members' move constructors, which are noexcept.
// NOLINTNEXTLINE(bugprone-exception-escape)
struct RunRecord {
  bool complete = false;
  std::vector<std::string> command_line;
  std::filesystem::path working_directory;  ///< empty: not recorded
  std::string started;
  nlohmann::ordered_json settings;     ///< RunManifest::settings()
  nlohmann::ordered_json environment;  ///< RunManifest::environment() of rank 0; null: not recorded
  int documents = 0;
  int documents_per_part = 0;
  std::string compute;  ///< "f32" or "bf16", as resolved
  std::string model_path;
  std::string text_path;
  std::map<std::string, std::string> weight_files;  ///< as CheckpointDigests
  std::optional<FileRecords> files;                 ///< none: not recorded

  int num_parts() const { return (documents - 1) / documents_per_part + 1; }
};

/// Throws Error where run.json is absent or damaged, saying which field is wrong.
RunRecord read_run_record(const std::filesystem::path& run_directory);

}  // namespace toplens
