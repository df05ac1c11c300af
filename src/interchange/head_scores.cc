#include "interchange/head_scores.h"

#include <algorithm>
#include <cassert>
#include <numeric>
#include <span>

#include <fmt/core.h>
#include <toplens/error.h>

namespace toplens {
namespace {

std::string_view plural(HeadKind kind) { return kind == HeadKind::kv ? "KV heads" : "query heads"; }

double aggregate(std::span<const double> group, HeadAggregation aggregation) {
  switch (aggregation) {
    case HeadAggregation::max:
      return *std::max_element(group.begin(), group.end());
    case HeadAggregation::min:
      return *std::min_element(group.begin(), group.end());
    case HeadAggregation::mean:
      return std::accumulate(group.begin(), group.end(), 0.0) / static_cast<double>(group.size());
  }
  return 0.0;
}

}  // namespace

void check_sizes(const HeadScores& scores, const HeadLayout& model, const std::string& where) {
  const int heads = scores.kind == HeadKind::kv ? model.kv_heads : model.query_heads;
  if (scores.layers == model.layers && scores.heads == heads) return;
  throw Error(fmt::format("{}: {} layers of {} {} found, but the model has {} layers of {} {}",
                          where, scores.layers, scores.heads, plural(scores.kind), model.layers,
                          heads, plural(scores.kind)));
}

HeadScores to_kv_heads(const HeadScores& scores, const HeadLayout& model,
                       HeadAggregation aggregation) {
  if (scores.kind == HeadKind::kv) return scores;
  assert(model.query_heads % model.kv_heads == 0);
  const auto group = static_cast<std::size_t>(model.query_heads / model.kv_heads);
  HeadScores result = {HeadKind::kv, scores.layers, model.kv_heads, {}};
  for (std::size_t first = 0; first < scores.values.size(); first += group) {
    result.values.push_back(aggregate(std::span(scores.values).subspan(first, group), aggregation));
  }
  return result;
}

HeadScores to_query_heads(const HeadScores& scores, const HeadLayout& model) {
  if (scores.kind == HeadKind::query) return scores;
  const auto group = static_cast<std::size_t>(model.query_heads / model.kv_heads);
  HeadScores result = {HeadKind::query, scores.layers, model.query_heads, {}};
  for (const double value : scores.values) {
    result.values.insert(result.values.end(), group, value);
  }
  return result;
}

}  // namespace toplens
