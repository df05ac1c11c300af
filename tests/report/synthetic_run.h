#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

namespace toplens::testing {

/// A run directory whose every figure is made up, for reports of any shape.
struct SyntheticRun {
  std::size_t layers = 2, heads = 4, kv_heads = 2, documents = 9, tokens = 40;
  std::vector<int> set_sizes = {1, 2, 4, 8};
  std::vector<std::string> token_texts;  ///< the first tokens' texts; the others are " word"
  std::string model_path = "models/made-up";
  std::string status = "complete";
  int schema_version = 1;
  bool with_geometry = true, with_heads = true, with_profiles = true;

  /// Writes run.json, geometry.nc, heads.csv, heads.nc, profiles.nc, as far as asked for.
  void write(const std::filesystem::path& directory) const;
};

}  // namespace toplens::testing
