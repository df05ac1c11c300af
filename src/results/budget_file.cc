#include "results/budget_file.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <toplens/error.h>

#include "io/atomic_file.h"
#include "io/json_text.h"
#include "results/run_manifest.h"

namespace toplens {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kSchemaVersion = 1;

HeadLayout layout(const ModelConfig& config) {
  return {config.num_layers, config.num_query_heads, config.num_kv_heads};
}

/// [layer][head]
Json by_layer(std::span<const int> values, int num_layers) {
  const std::size_t heads = values.size() / static_cast<std::size_t>(num_layers);
  Json rows = Json::array();
  for (std::size_t first = 0; first < values.size(); first += heads) {
    const auto row = values.subspan(first, heads);
    rows.push_back(std::vector<int>(row.begin(), row.end()));
  }
  return rows;
}

void add_losses(Json& json, const KeptTokens& tokens) {
  json["calibration_change"] = tokens.calibration_change;
  json["verified_change"] = tokens.verified_change;
  json["verified_change_low"] =
      tokens.verified_interval ? Json(tokens.verified_interval->low) : Json(nullptr);
  json["verified_change_high"] =
      tokens.verified_interval ? Json(tokens.verified_interval->high) : Json(nullptr);
}

Json uniform_json(const KeptTokens& tokens) {
  Json json;
  const int least = *std::min_element(tokens.kept.begin(), tokens.kept.end());
  json["set_size"] = least;
  json["heads_with_one_more"] =
      std::count_if(tokens.kept.begin(), tokens.kept.end(), [&](int n) { return n > least; });
  json["total_kept_tokens"] = total_kept(tokens.kept);
  add_losses(json, tokens);
  return json;
}

Json curves_json(const HeadLossCurves& curves, int num_layers) {
  Json layers = Json::array();
  const std::size_t heads = curves.num_heads() / static_cast<std::size_t>(num_layers);
  for (std::size_t head = 0; head < curves.num_heads(); ++head) {
    if (head % heads == 0) layers.push_back(Json::array());
    layers.back().push_back(curves.increases[head]);
  }
  return {{"set_sizes", curves.sizes}, {"relative_change", std::move(layers)}};
}

Json needs_json(const std::vector<HeadNeed>& needs, int num_layers, double HeadNeed::*value) {
  Json layers = Json::array();
  const std::size_t heads = needs.size() / static_cast<std::size_t>(num_layers);
  for (std::size_t head = 0; head < needs.size(); ++head) {
    if (head % heads == 0) layers.push_back(Json::array());
    layers.back().push_back(needs[head].*value);
  }
  return layers;
}

/// A key of the file that is not what it must be.
class Reader {
 public:
  explicit Reader(const std::filesystem::path& path)
      : where_(path.string()), json_(parse_json(read_text_file(path), where_)) {
    if (!json_.is_object() || !json_.contains("budgets")) {
      throw Error(where_ + ": is no budget of toplens: no object with the key 'budgets'");
    }
  }
  const Json& root() const { return json_; }
  template <typename T>
  T get(const Json& object, const char* key) const {
    try {
      return object.at(key).get<T>();
    } catch (const nlohmann::json::exception&) {
      refuse(key);
    }
  }
  /// A whole number that an int holds.
  int integer(const Json& value, const char* key) const {
    if (!value.is_number_integer()) refuse(key);
    const auto number = value.get<std::int64_t>();
    if (!std::in_range<int>(number)) refuse(key);
    return static_cast<int>(number);
  }
  int get_integer(const Json& object, const char* key) const {
    return integer(get<Json>(object, key), key);
  }
  [[noreturn]] void refuse(const char* key) const {
    throw Error(
        fmt::format("{}: '{}' is absent or of another type than toplens writes", where_, key));
  }
  const std::string& where() const { return where_; }

 private:
  std::string where_;
  Json json_;
};

std::vector<int> read_kept(const Reader& reader, const Json& budget, const ModelConfig& config,
                           int context_length) {
  const auto rows = reader.get<std::vector<std::vector<Json>>>(budget, "query_heads");
  std::vector<int> kept;
  for (const std::vector<Json>& row : rows) {
    for (const Json& tokens : row) kept.push_back(reader.integer(tokens, "query_heads"));
  }
  const bool rows_fit = std::all_of(rows.begin(), rows.end(), [&](const auto& row) {
    return row.size() == static_cast<std::size_t>(config.num_query_heads);
  });
  if (rows.size() != static_cast<std::size_t>(config.num_layers) || !rows_fit) {
    throw Error(
        fmt::format("{}: a budget of another model: {} layers of {} query heads, expected "
                    "{} of {}",
                    reader.where(), rows.size(), rows.empty() ? 0 : rows[0].size(),
                    config.num_layers, config.num_query_heads));
  }
  for (const int tokens : kept) {
    if (tokens >= 1 && tokens <= context_length) continue;
    throw Error(fmt::format("{}: a head keeps {} tokens, expected 1 to {}", reader.where(), tokens,
                            context_length));
  }
  return kept;
}

}  // namespace

std::vector<int> kv_kept(const ModelConfig& config, std::span<const int> kept,
                         HeadAggregation aggregation) {
  HeadScores scores;
  scores.kind = HeadKind::query;
  scores.layers = config.num_layers;
  scores.heads = config.num_query_heads;
  scores.values.assign(kept.begin(), kept.end());
  std::vector<int> result;
  for (const double value : to_kv_heads(scores, layout(config), aggregation).values) {
    result.push_back(static_cast<int>(std::ceil(value)));  // a mean may be no whole number
  }
  return result;
}

std::uint64_t kv_cache_bytes(const ModelConfig& config, std::span<const int> kv_kept,
                             int cache_context, DataType type) {
  std::uint64_t tokens = 0;
  for (const int kept : kv_kept) {
    tokens += static_cast<std::uint64_t>(std::min(kept, cache_context));
  }
  return tokens * 2 * static_cast<std::uint64_t>(config.head_dim) * bytes_per_element(type);
}

nlohmann::ordered_json budget_json(const BudgetRecord& record, const ModelConfig& config,
                                   const BudgetResult& result) {
  const BudgetRequest& request = record.request;
  Json json;
  json["schema_version"] = kSchemaVersion;
  json["settings"] = record.settings;
  json["protocol"] = record.protocol;
  json["ranking"] = name(request.ranking);
  json["rule"] = name(request.rule);
  json["tolerance"] = request.tolerance;
  json["context_length"] = record.context_length;
  json["calibration_documents"] = record.calibration_documents;
  json["verification_documents"] = record.verification_documents;
  json["verification"] = record.separate_verification
                             ? "documents that had no part in choosing the budget"
                             : "the calibration documents: the text has no others";
  json["num_layers"] = config.num_layers;
  json["num_query_heads"] = config.num_query_heads;
  json["num_kv_heads"] = config.num_kv_heads;
  json["kv_aggregation"] = name(record.aggregation);
  json["cache_context"] = record.cache_context;
  json["cache_dtype"] = name(record.cache_type);
  json["uniform_at_equal_loss"] = uniform_json(result.uniform_at_equal_loss);
  json["smallest"] = name(result.smallest().allocation);
  json["budgets"] = Json::array();
  const std::vector<int> everything(
      static_cast<std::size_t>(config.num_layers) * static_cast<std::size_t>(config.num_kv_heads),
      record.cache_context);
  for (const AllocatedBudget& budget : result.budgets) {
    const std::vector<int>& kept = budget.budget.kept;
    const std::vector<int> kv = kv_kept(config, kept, record.aggregation);
    Json one;
    one["allocation"] = name(budget.allocation);
    one["total_kept_tokens"] = total_kept(kept);
    one["mean_kept_tokens"] =
        static_cast<double>(total_kept(kept)) / static_cast<double>(kept.size());
    one["predicted_change"] = budget.predicted_change;
    add_losses(one, budget.budget);
    one["verified_within_tolerance"] = budget.budget.verified_change <= request.tolerance;
    one["uniform_size_at_equal_verified_loss"] =
        budget.uniform_size_at_equal_verified_loss
            ? Json(*budget.uniform_size_at_equal_verified_loss)
            : Json(nullptr);
    one["uniform_at_equal_total"] = uniform_json(budget.uniform_at_equal_total);
    one["kv_total_kept_tokens"] = total_kept(kv);
    one["kv_cache_bytes"] = kv_cache_bytes(config, kv, record.cache_context, record.cache_type);
    one["full_kv_cache_bytes"] =
        kv_cache_bytes(config, everything, record.cache_context, record.cache_type);
    one["query_heads"] = by_layer(kept, config.num_layers);
    one["kv_heads"] = by_layer(kv, config.num_layers);
    json["budgets"].push_back(std::move(one));
  }
  json["loss_curves"] = curves_json(result.curves, config.num_layers);
  json["selectivity"] = needs_json(result.needs, config.num_layers, &HeadNeed::selectivity);
  json["small_f"] = needs_json(result.needs, config.num_layers, &HeadNeed::small_f);
  return json;
}

StoredBudgets read_budgets(const std::filesystem::path& path, const ModelConfig& config,
                           const nlohmann::ordered_json& digests) {
  const Reader reader(path);
  const Json& root = reader.root();
  if (const int version = reader.get_integer(root, "schema_version"); version != kSchemaVersion) {
    throw Error(fmt::format("{}: has schema_version {}, this toplens reads {}", reader.where(),
                            version, kSchemaVersion));
  }
  StoredBudgets stored;
  try {
    stored.ranking = parse_ranking(reader.get<std::string>(root, "ranking"));
    stored.rule = parse_removal_rule(reader.get<std::string>(root, "rule"));
  } catch (const Error& error) {
    throw Error(fmt::format("{}: {}", reader.where(), error.what()));
  }
  stored.tolerance = reader.get<double>(root, "tolerance");
  stored.context_length = reader.get_integer(root, "context_length");
  for (const Json& budget : reader.get<std::vector<Json>>(root, "budgets")) {
    StoredBudget one;
    try {
      one.allocation = parse_allocation(reader.get<std::string>(budget, "allocation"));
    } catch (const Error& error) {
      throw Error(fmt::format("{}: {}", reader.where(), error.what()));
    }
    one.kept = read_kept(reader, budget, config, stored.context_length);
    one.predicted_change = reader.get<double>(budget, "predicted_change");
    one.verified_change = reader.get<double>(budget, "verified_change");
    stored.budgets.push_back(std::move(one));
  }
  const Json settings = reader.get<Json>(root, "settings");
  Json there = reader.get<Json>(settings, "model"), here = digests;
  if (!there.is_object()) reader.refuse("settings.model");
  // Token ids need no tokenizer.
  for (Json* model : {&there, &here}) model->erase("tokenizer_sha256");
  if (const std::string difference = first_difference(there, here); !difference.empty()) {
    throw Error(fmt::format("{}: a budget of another model: {}", reader.where(), difference));
  }
  return stored;
}

}  // namespace toplens
