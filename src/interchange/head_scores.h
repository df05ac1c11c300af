#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/name_table.h"

namespace toplens {

/// The heads of a model, as head files count them.
struct HeadLayout {
  int layers = 0;
  int query_heads = 0;  ///< of a layer
  int kv_heads = 0;     ///< of a layer; query head h reads kv head h / (query_heads / kv_heads)
};

/// Which heads a file speaks of.
enum class HeadKind { query, kv };

/// One number for each head: what every head file is read as, and written from.
struct HeadScores {
  HeadKind kind = HeadKind::query;
  int layers = 0;
  int heads = 0;               ///< of a layer, of this kind
  std::vector<double> values;  ///< [layer * heads + head], finite

  double at(int layer, int head) const {
    return values[static_cast<std::size_t>(layer) * static_cast<std::size_t>(heads) +
                  static_cast<std::size_t>(head)];
  }
};

/// How the query heads of one kv head become one number: the cache of a kv head has to hold what
/// its most demanding query head needs, hence max unless one says otherwise.
enum class HeadAggregation { max, mean, min };

inline constexpr std::array<NamedKind<HeadAggregation>, 3> kHeadAggregationNames = {{
    {HeadAggregation::max, "max"},
    {HeadAggregation::mean, "mean"},
    {HeadAggregation::min, "min"},
}};

inline std::string_view name(HeadAggregation aggregation) {
  return name_in(kHeadAggregationNames, aggregation);
}
/// Throws Error listing the valid names.
inline HeadAggregation parse_head_aggregation(std::string_view text) {
  return parse_name(kHeadAggregationNames, "aggregation of query heads", text);
}

/// Throws Error naming both sizes where the scores are not of this model; `where` names the file.
void check_sizes(const HeadScores& scores, const HeadLayout& model, const std::string& where);

/// One number for each kv head. Scores of kv heads are returned as they are. Sizes as checked.
HeadScores to_kv_heads(const HeadScores& scores, const HeadLayout& model,
                       HeadAggregation aggregation = HeadAggregation::max);

/// One number for each query head: those of one kv head get its number. Sizes as checked.
HeadScores to_query_heads(const HeadScores& scores, const HeadLayout& model);

}  // namespace toplens
