#include "results/theory_part.h"

#include <numeric>
#include <string_view>

#include <fmt/format.h>

namespace toplens {
namespace {

const std::vector<std::string> kKvHead = {"document", "layer", "kv_head"};

/// One variable of the records. A row serves writing and reading.
template <typename T>
struct RecordVariable {
  std::string_view name;
  OwnedArray<T> AssumptionRecords::*owned;
  ConstArray<T> AssumptionView::*view;
  std::vector<std::string> dimensions;
  std::string_view long_name;
};

const std::vector<RecordVariable<float>>& float_variables() {
  using R = AssumptionRecords;
  using V = AssumptionView;
  const auto head_places = [](const char* place) {
    return std::vector<std::string>{"document", "layer", "head", "recorded_ranking", place};
  };
  static const std::vector<RecordVariable<float>> kVariables = {
      {"attention_weight",
       &R::weights,
       &V::weights,
       {"document", "layer", "head", "token"},
       "attention of the final query, 0 where not visible"},
      {"value_norm",
       &R::value_norms,
       &V::value_norms,
       {"document", "layer", "kv_head", "token"},
       "norm of the value vector, where visible to the final query"},
      {"lag_cosine",
       &R::lag_cosines,
       &V::lag_cosines,
       {"document", "layer", "kv_head", "lag"},
       "mean cosine of all pairs of visible values so many tokens apart, without token 0"},
      {"sink_cosine", &R::sink_cosines, &V::sink_cosines, kKvHead,
       "mean cosine of the value of token 0 with the others"},
      {"value_effective_rank", &R::effective_ranks, &V::effective_ranks, kKvHead,
       "exp of the entropy of the normalised singular values of the visible values"},
      {"sink_aggregate_cosine", &R::sink_aggregate_cosines, &V::sink_aggregate_cosines,
       head_places("recorded_set_size"),
       "cosine of the value of token 0 with the aggregate of the other selected tokens"},
      {"near_duplicate_share", &R::near_duplicates, &V::near_duplicates,
       head_places("recorded_set_size"),
       "share of unselected tokens with cosine above 0.999 to a selected value"},
      {"selected_cosine", &R::selected_cosines, &V::selected_cosines, head_places("selected_place"),
       "cosines of the selected values with the aggregate, by rank, one set size after another"},
      {"competitor_cosine", &R::competitor_cosines, &V::competitor_cosines,
       head_places("competitor_place"),
       "cosines of the max(16, N) highest ranked unselected values with the aggregate, by rank"},
      {"other_cosine", &R::other_cosines, &V::other_cosines, head_places("other_place"),
       "the same of up to 32 unselected values evenly spaced by rank"},
  };
  return kVariables;
}

const std::vector<RecordVariable<double>>& double_variables() {
  using R = AssumptionRecords;
  using V = AssumptionView;
  static const std::vector<std::string> kSizes = {"document", "layer", "head", "recorded_ranking",
                                                  "recorded_set_size"};
  static const std::vector<RecordVariable<double>> kVariables = {
      {"aggregate_norm", &R::aggregate_norms, &V::aggregate_norms, kSizes,
       "norm of the selected aggregate"},
      {"sink_aggregate_norm", &R::sink_aggregate_norms, &V::sink_aggregate_norms, kSizes,
       "norm of the aggregate of the selected tokens other than token 0"},
  };
  return kVariables;
}

constexpr std::string_view kFirstVisible = "recorded_first_visible";
constexpr std::string_view kHeadDim = "recorded_head_dim";
constexpr std::string_view kSeed = "recorded_random_seed";

std::int64_t single(const Dataset& dataset, std::string_view name) {
  return dataset.labels<std::int64_t>(name).front();
}

template <typename T>
std::span<const T> checked(const Dataset& dataset, const RecordVariable<T>& row) {
  std::size_t expected = 1;
  for (const std::string& dimension : row.dimensions) {
    expected *= dataset.dimension_size(dimension);
  }
  const std::span<const T> values = dataset.values<T>(row.name);
  if (values.size() != expected) {
    throw Error(fmt::format("variable '{}' has {} elements, expected {}", row.name, values.size(),
                            expected));
  }
  return values;
}

void expect_size(const Dataset& dataset, std::string_view dimension, std::size_t expected) {
  const std::size_t found = dataset.dimension_size(dimension);
  if (found != expected) {
    throw Error(fmt::format("dimension '{}' of the recorded heads is {}, expected {}", dimension,
                            found, expected));
  }
}

}  // namespace

void add_theory_records(Dataset& part, const AssumptionRecords& records) {
  const RecordedShape& shape = records.shape;
  const AssumptionLayout& layout = shape.layout;
  std::vector<std::int32_t> kv_heads(shape.kv_heads);
  std::iota(kv_heads.begin(), kv_heads.end(), 0);
  std::vector<std::string> rankings;
  for (const Ranking ranking : layout.rankings) rankings.emplace_back(name(ranking));
  part.add_coordinate("kv_head", std::move(kv_heads), {{"long_name", "key-value head"}});
  part.add_coordinate("recorded_ranking", std::move(rankings),
                      {{"long_name", "ranking; of random rankings the first"}});
  part.add_coordinate("recorded_set_size",
                      std::vector<std::int32_t>(layout.set_sizes.begin(), layout.set_sizes.end()),
                      describe("tokens", "selected tokens N"));
  part.add_coordinate(std::string(kHeadDim),
                      std::vector<std::int64_t>{static_cast<std::int64_t>(shape.head_dim)},
                      describe("1", "dimension of the values"));
  part.add_coordinate(std::string(kSeed),
                      std::vector<std::int64_t>{static_cast<std::int64_t>(layout.seed)},
                      describe("1", "seed of the random rankings"));
  part.add_dimension("token", layout.length);
  part.add_dimension("lag", layout.lags());
  part.add_dimension("selected_place", layout.selected_places());
  part.add_dimension("competitor_place", layout.competitor_places());
  part.add_dimension("other_place", layout.other_places());
  part.add_variable(std::string(kFirstVisible), {"layer"}, records.first_visible,
                    describe("1", "first token that the final query sees"));
  for (const RecordVariable<float>& row : float_variables()) {
    part.add_variable(std::string(row.name), row.dimensions, records.*row.owned,
                      describe("1", row.long_name));
  }
  for (const RecordVariable<double>& row : double_variables()) {
    part.add_variable(std::string(row.name), row.dimensions, records.*row.owned,
                      describe("1", row.long_name));
  }
}

std::vector<std::string> theory_record_names() {
  std::vector<std::string> names = {std::string(kFirstVisible)};
  for (const RecordVariable<float>& row : float_variables()) names.emplace_back(row.name);
  for (const RecordVariable<double>& row : double_variables()) names.emplace_back(row.name);
  return names;
}

AssumptionView theory_records(const Dataset& dataset) {
  AssumptionView view;
  RecordedShape& shape = view.shape;
  shape.documents = dataset.dimension_size("document");
  shape.layers = dataset.dimension_size("layer");
  shape.first_layer = static_cast<std::size_t>(dataset.labels<std::int32_t>("layer").front());
  shape.heads = dataset.dimension_size("head");
  shape.kv_heads = dataset.dimension_size("kv_head");
  shape.head_dim = static_cast<std::size_t>(single(dataset, kHeadDim));
  AssumptionLayout& layout = shape.layout;
  layout.length = dataset.dimension_size("token");
  layout.seed = static_cast<std::uint64_t>(single(dataset, kSeed));
  for (const std::string& ranking : dataset.labels<std::string>("recorded_ranking")) {
    layout.rankings.push_back(parse_ranking(ranking));
  }
  const auto sizes = dataset.labels<std::int32_t>("recorded_set_size");
  layout.set_sizes.assign(sizes.begin(), sizes.end());
  for (std::size_t n = 0; n < layout.set_sizes.size(); ++n) {
    const int least = n > 0 ? layout.set_sizes[n - 1] + 1 : 1;
    if (layout.set_sizes[n] < least || layout.set_size(n) >= layout.length) {
      throw Error(fmt::format("recorded set size {} is not between {} and {}", layout.set_sizes[n],
                              least, layout.length - 1));
    }
  }
  if (shape.kv_heads == 0 || shape.heads % shape.kv_heads != 0) {
    throw Error(fmt::format("{} query heads on {} key-value heads", shape.heads, shape.kv_heads));
  }
  expect_size(dataset, "lag", layout.lags());
  expect_size(dataset, "selected_place", layout.selected_places());
  expect_size(dataset, "competitor_place", layout.competitor_places());
  expect_size(dataset, "other_place", layout.other_places());
  view.first_visible = dataset.values<std::int32_t>(kFirstVisible, {"layer"});
  for (const std::int32_t first : view.first_visible) {
    if (first < 0 || static_cast<std::size_t>(first) >= layout.length) {
      throw Error(
          fmt::format("{} is {}: expected 0 to {}", kFirstVisible, first, layout.length - 1));
    }
  }
  for (const RecordVariable<float>& row : float_variables()) {
    view.*row.view = checked(dataset, row);
  }
  for (const RecordVariable<double>& row : double_variables()) {
    view.*row.view = checked(dataset, row);
  }
  return view;
}

}  // namespace toplens
