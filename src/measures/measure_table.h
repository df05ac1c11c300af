#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace toplens {

/// What is recorded of a head in one document. Those of a query are means over the queries.
enum class Measure {
  sink_mass,
  final_mass,
  recency_mass,
  content_mass,
  log_effective_number,
  selectivity,
  separability,
  small_n_f_score,
  sink_similarity,
  sink_aggregate_similarity,
  attention_distance,
  head_output_norm,
  mean_value_norm,
  first_value_norm_ratio,
  sink_attention,
  sink_rate,
  entropy,
  relative_entropy,
  maximum_weight,
  mean_attention_distance,
  streaming_mass,
  value_effective_rank,
  output_effective_rank,
};

/// Why a measure may be not defined in a document: which column says it.
enum class MeasureGroup {
  signature,  ///< see SignatureReason
  sink,       ///< token 0 must be visible to the final query (and of positive norm for cosines)
  query,      ///< defined wherever a query sees anything
  rank,       ///< of the first documents only, of a matrix that is not zero
};

struct MeasureRow {
  Measure measure;
  std::string_view name;
  MeasureGroup group;
  std::string_view units;
  std::string_view long_name;
};

/// One row for each measure, in the order of the enumeration. The sources are in docs/measures.md.
inline constexpr std::array<MeasureRow, 23> kMeasures = {{
    {Measure::sink_mass, "sink_mass", MeasureGroup::sink, "1", "attention on token 0"},
    {Measure::final_mass, "final_mass", MeasureGroup::query, "1",
     "attention of the query on itself"},
    {Measure::recency_mass, "recency_mass", MeasureGroup::query, "1",
     "attention on the 15 tokens before the query, without token 0"},
    {Measure::content_mass, "content_mass", MeasureGroup::query, "1",
     "attention on neither the sink, nor the query, nor the 15 tokens before it"},
    {Measure::log_effective_number, "log_effective_number", MeasureGroup::signature, "1",
     "log of n_eff = 1 / sum of squared non-sink weights, renormalised"},
    {Measure::selectivity, "selectivity", MeasureGroup::signature, "1",
     "1 - log n_eff / log(L - 1): 1 one token, 0 uniform"},
    {Measure::separability, "separability", MeasureGroup::signature, "1",
     "F_N, Euclidean, attention ranking, without the sink, N = clip(round(n_eff), 1, 8)"},
    {Measure::small_n_f_score, "small_n_f_score", MeasureGroup::query, "1",
     "mean F_N over N = 2, 3, 4, sink kept"},
    {Measure::sink_similarity, "sink_similarity", MeasureGroup::sink, "1",
     "mean cosine of the value of token 0 with the others"},
    {Measure::sink_aggregate_similarity, "sink_aggregate_similarity", MeasureGroup::sink, "1",
     "cosine of the value of token 0 with the aggregate of the top 4 without it"},
    {Measure::attention_distance, "attention_distance", MeasureGroup::signature, "1",
     "mean of (t - i) / t over the non-sink weights, renormalised"},
    {Measure::head_output_norm, "head_output_norm", MeasureGroup::query, "1",
     "norm of the head output before the output projection"},
    {Measure::mean_value_norm, "mean_value_norm", MeasureGroup::query, "1",
     "mean norm of the visible values without token 0, c"},
    {Measure::first_value_norm_ratio, "first_value_norm_ratio", MeasureGroup::sink, "1",
     "norm of the value of token 0 over c"},
    {Measure::sink_attention, "sink_attention", MeasureGroup::sink, "1",
     "weight on token 0, mean over all queries i >= 0"},
    {Measure::sink_rate, "sink_rate", MeasureGroup::sink, "1",
     "share of documents whose mean weight on token 0 over all queries exceeds 0.3"},
    {Measure::entropy, "entropy", MeasureGroup::query, "nat", "entropy of the attention weights"},
    {Measure::relative_entropy, "relative_entropy", MeasureGroup::query, "1",
     "entropy over log of the visible tokens"},
    {Measure::maximum_weight, "maximum_weight", MeasureGroup::query, "1",
     "largest attention weight"},
    {Measure::mean_attention_distance, "mean_attention_distance", MeasureGroup::query, "tokens",
     "mean distance t - i of the attention weights"},
    {Measure::streaming_mass, "streaming_mass", MeasureGroup::query, "1",
     "attention on the first 4 and the last 64 tokens"},
    {Measure::value_effective_rank, "value_effective_rank", MeasureGroup::rank, "1",
     "effective rank of the values, first documents only"},
    {Measure::output_effective_rank, "output_effective_rank", MeasureGroup::rank, "1",
     "effective rank of the head outputs of all queries, first documents only"},
}};
inline constexpr std::size_t kNumMeasures = kMeasures.size();

inline constexpr std::size_t index_of(Measure measure) { return static_cast<std::size_t>(measure); }
inline constexpr const MeasureRow& row_of(Measure measure) { return kMeasures[index_of(measure)]; }

/// Measures by set size, of the attention ranking.
enum class SizeMeasure { deletion_error, renormalisation_error, dropped_coherence };

struct SizeMeasureRow {
  SizeMeasure measure;
  std::string_view name;
  std::string_view long_name;
};

inline constexpr std::array<SizeMeasureRow, 3> kSizeMeasures = {{
    {SizeMeasure::deletion_error, "deletion_error",
     "norm of the change of the head output by deletion of all but the top N, over its norm"},
    {SizeMeasure::renormalisation_error, "renormalisation_error",
     "the same with the kept weights renormalised"},
    {SizeMeasure::dropped_coherence, "dropped_coherence",
     "squared norm of the sum of the dropped contributions over the sum of their squared norms"},
}};
inline constexpr std::size_t kNumSizeMeasures = kSizeMeasures.size();

/// Scores on repeated random tokens.
enum class Detector { previous_token, duplicate_token, induction };

struct DetectorRow {
  Detector detector;
  std::string_view name;
  std::string_view long_name;
};

inline constexpr std::array<DetectorRow, 3> kDetectors = {{
    {Detector::previous_token, "previous_token_score",
     "attention on the token before, share of all attention on repeated random tokens"},
    {Detector::duplicate_token, "duplicate_token_score",
     "attention on earlier occurrences of the query's token, likewise"},
    {Detector::induction, "induction_score",
     "attention on what followed earlier occurrences of the query's token, likewise"},
}};
inline constexpr std::size_t kNumDetectors = kDetectors.size();

inline constexpr std::size_t index_of(Detector detector) {
  return static_cast<std::size_t>(detector);
}

inline constexpr std::size_t index_of(SizeMeasure measure) {
  return static_cast<std::size_t>(measure);
}

}  // namespace toplens
