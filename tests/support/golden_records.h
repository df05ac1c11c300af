#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "io/npy.h"
#include "model/model_config.h"

namespace toplens::testing {

/// expected/expected.json of a golden checkpoint.
nlohmann::json expected_json(const std::filesystem::path& model);

/// "1,2,4": the set sizes of expected geometry records.
std::string set_sizes(const nlohmann::json& records);

/// The record of the same layer, head, query, ranking, distance and set size. Throws where there is
/// none.
const nlohmann::json& find_record(const nlohmann::json& records, const nlohmann::json& like);

struct LayersOfAWindow {
  int window = 0;
  std::string layers;  ///< "0,2"
};
std::vector<LayersOfAWindow> layers_by_window(const std::filesystem::path& model);

/// Whether a count may differ: some selected i and unselected j have scores (theory.md (6)) nearer
/// than 1e-5 of their terms, or cosine similarities nearer than 1e-6.
class TieRule {
 public:
  explicit TieRule(const std::filesystem::path& model);
  bool near_tie(const nlohmann::json& record) const;

 private:
  ModelConfig config_;
  NpyFloatArray attention_, values_;
};

}  // namespace toplens::testing
