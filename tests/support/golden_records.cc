#include "support/golden_records.h"

#include <set>
#include <stdexcept>

#include "geometry/reference_geometry.h"
#include "io/atomic_file.h"

namespace toplens::testing {
namespace {

void append(std::string& list, int value) {
  if (!list.empty()) list += ',';
  list += std::to_string(value);
}

}  // namespace

nlohmann::json expected_json(const std::filesystem::path& model) {
  return nlohmann::json::parse(read_text_file(model / "expected" / "expected.json"));
}

std::string set_sizes(const nlohmann::json& records) {
  std::set<int> sizes;
  for (const nlohmann::json& record : records) sizes.insert(record.at("set_size").get<int>());
  std::string text;
  for (const int size : sizes) append(text, size);
  return text;
}

const nlohmann::json& find_record(const nlohmann::json& records, const nlohmann::json& like) {
  for (const nlohmann::json& record : records) {
    bool same = true;
    for (const char* key : {"layer", "head", "query", "ranking", "distance", "set_size"}) {
      same = same && record.at(key) == like.at(key);
    }
    if (same) return record;
  }
  throw std::out_of_range("no record like " + like.dump());
}

std::vector<LayersOfAWindow> layers_by_window(const std::filesystem::path& model) {
  std::map<int, std::string> layers;
  const ModelConfig config = read_model_config(model);
  for (int layer = 0; layer < config.num_layers; ++layer) {
    std::string& text = layers[config.layer_window[static_cast<std::size_t>(layer)]];
    append(text, layer);
  }
  std::vector<LayersOfAWindow> result;
  for (const auto& [window, text] : layers) result.push_back({window, text});
  return result;
}

TieRule::TieRule(const std::filesystem::path& model)
    : config_(read_model_config(model)),
      attention_(model / "expected" / "attention.npy"),
      values_(model / "expected" / "values.npy") {}

bool TieRule::near_tie(const nlohmann::json& record) const {
  const auto get = [&](const char* key) {
    return static_cast<std::size_t>(record.at(key).get<int>());
  };
  const std::size_t layer = get("layer"), head = get("head"), query = get("query");
  const auto heads = static_cast<std::size_t>(config_.num_query_heads);
  const auto kv_heads = static_cast<std::size_t>(config_.num_kv_heads);
  const auto dim = static_cast<std::size_t>(config_.head_dim);
  const auto kv_head = static_cast<std::size_t>(config_.kv_head(static_cast<int>(head)));
  const std::size_t length = attention_.shape()[3];
  const auto window = static_cast<std::size_t>(config_.layer_window[layer]);
  const std::size_t first = window > 0 && query + 1 > window ? query + 1 - window : 0;
  const std::size_t visible = query + 1 - first;
  const std::span<const float> weights = attention_.values().subspan(
      ((layer * heads + head) * length + query) * length + first, visible);
  const MatrixView<const float> values(
      values_.values().data() + ((layer * kv_heads + kv_head) * length + first) * dim, visible,
      dim);
  const Distance distance = parse_distance(record.at("distance").get<std::string>());
  const Ranking ranking = parse_ranking(record.at("ranking").get<std::string>());
  const std::vector<std::uint32_t> selected =
      reference_order(reference_scores(weights, values, ranking), get("set_size"));
  return reference_geometry(weights, values, distance, selected,
                            distance == Distance::euclidean ? 1e-5 : 1e-6)
      .near_tie;
}

}  // namespace toplens::testing
