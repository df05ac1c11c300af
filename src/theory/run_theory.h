#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/name_table.h"
#include "parallel/thread_pool.h"
#include "theory/assumption_records.h"
#include "theory/head_fit.h"
#include "theory/head_theory.h"

namespace toplens {

inline constexpr std::array<NamedKind<WeightSource>, 2> kWeightSourceNames = {
    {{WeightSource::measured, "measured"}, {WeightSource::profile, "profile"}}};
inline constexpr std::array<NamedKind<EffectiveDimension>, 2> kEffectiveDimensionNames = {
    {{EffectiveDimension::given, "head-dim"},
     {EffectiveDimension::effective_rank, "effective-rank"}}};

/// Residuals of (13): as fitted, or what independent isotropic ones in d dimensions would be.
enum class ResidualSource { fitted, isotropic };
inline constexpr std::array<NamedKind<ResidualSource>, 2> kResidualSourceNames = {
    {{ResidualSource::fitted, "fitted"}, {ResidualSource::isotropic, "isotropic"}}};

struct RunTheoryOptions {
  HeadTheoryOptions head;
  EffectiveDimension dimension = EffectiveDimension::given;
  ResidualSource residuals = ResidualSource::fitted;
  std::uint64_t seed = 2027;  ///< of the run: bootstraps of the fits
};

/// Separability (Euclidean) of the final query at [document, layer, head, ranking, set size], as
/// the records' layout counts them.
using RecordedSeparability =
    std::function<Separability(std::size_t, std::size_t, std::size_t, std::size_t, std::size_t)>;

/// Everything of one layer or more, heads layer-major.
struct RunTheory {
  std::size_t layers = 0, heads = 0;
  std::vector<HeadFit> fits;
  std::vector<Ranking> rankings;                  ///< of the records
  std::vector<std::vector<HeadTheory>> heads_of;  ///< [ranking][head]
};

/// Rankings whose selection the model can predict (theory.md 5).
bool has_prediction(Ranking ranking);

/// Fits and evaluates all heads of the records. Deterministic; independent of the threads and of
/// which layers come together.
RunTheory evaluate_layers(const AssumptionView& records, const RecordedSeparability& measured,
                          const RunTheoryOptions& options, ThreadPool& pool);

/// Appends the layers that follow.
void append_layers(RunTheory& run, RunTheory next);

/// One head's documents in one ranking (an index of the layout), set sizes defined in the layer.
std::vector<MeasuredQuery> measured_queries(const AssumptionView& records,
                                            const RecordedSeparability& measured, std::size_t layer,
                                            std::size_t head, std::size_t ranking,
                                            TokenRanker& ranker);

}  // namespace toplens
