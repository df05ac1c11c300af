#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "geometry/separability.h"
#include "selection/ranking.h"
#include "theory/coverage.h"
#include "theory/parameters.h"
#include "theory/predictive_model.h"
#include "theory/ranked_tokens.h"

namespace toplens {

/// One document's final query in one ranking, as measured: all that theory.md 4 conditions on.
/// Tokens are counted within the visible range.
struct MeasuredQuery {
  bool sink_visible = true;                          ///< then token 0 is the sink
  std::vector<double> attention, contributions;      ///< a_i, w_i
  std::vector<std::uint32_t> order;                  ///< all tokens, highest rank first
  std::vector<std::vector<double>> selected_scores;  ///< [size][rank], g_i of (6)
  std::vector<double> aggregate_norms;               ///< [size], |s|
  std::vector<Separability> measured;                ///< [size]; inversions NaN where not measured

  RankedTokens tokens() const { return {contributions, order, sink_visible}; }
};

/// Where predictions take the weights from: the documents, or draws of the fitted profile (A3).
enum class WeightSource { measured, profile };

struct HeadTheoryOptions {
  EnvelopeOptions envelope;
  WeightSource weights = WeightSource::measured;
  int profile_draws = 32;  ///< weight vectors of `profile`, each with `scalar_draws` of (24)
  int scalar_draws = 64;
  double eta = 0.05;  ///< of (19) and (25)
};

/// Measurement and theory at one set size: means over the documents of one head. NaN where not
/// known.
struct TheoryAtSize {
  int set_size = 0;
  MeasuredMean precision, recall, f_score;
  Separation distribution_free;                      ///< (8), needs inversions
  MeasuredMean chernoff_precision, chernoff_recall;  ///< (15), (16)
  double chernoff_f_score = 0.0;                     ///< (17)
  Separation gaussian;                               ///< the same with the normal tail
  double uniform_precision = 0.0;                    ///< (18)
  double separation_guaranteed = 0.0;  ///< share of documents where (19) holds in this dimension
  double separation_measured = 0.0;    ///< share of documents with gamma_N > 0
  Envelope envelope;                   ///< (22)-(24)
  Residuals residuals;
  double sink_selected = 0.0;  ///< share of documents whose sink is among the N
  /// (26), mean over those documents; none where there is none or N < 2.
  std::optional<double> sink_threshold;
};

struct HeadTheory {
  Ranking ranking = Ranking::attention;
  std::vector<TheoryAtSize> sizes;   ///< those below the visible tokens
  std::optional<int> critical_size;  ///< (25), median over documents; none: above the largest size
  std::optional<int> predicted_half, measured_half;  ///< N_half; none: above the largest size
  double sink_mass = 0.0;                            ///< mean a_0; NaN where it is not visible
  bool predicted = false;  ///< false: measured alone, all that needs assumptions is NaN or none
};

/// Evaluates theory.md 4 to 6 on measured documents; an object for one worker.
class HeadEvaluator {
 public:
  explicit HeadEvaluator(HeadTheoryOptions options);
  ~HeadEvaluator();
  HeadEvaluator(HeadEvaluator&&) noexcept;

  /// `assumptions` hold residuals of `ranking`, of which the first sizes.size() are at `sizes`
  /// (increasing, below the tokens of a query); for `profile` weights they hold the profile, else
  /// the envelope is NaN. `head_number` keys the random draws. At least one query.
  HeadTheory evaluate(std::uint64_t head_number, const HeadAssumptions& assumptions,
                      Ranking ranking, std::span<const std::size_t> sizes,
                      std::span<const MeasuredQuery> queries);

  /// The same where no assumption could be estimated: what is measured, and (8).
  static HeadTheory measured_alone(Ranking ranking, std::span<const std::size_t> sizes,
                                   std::span<const MeasuredQuery> queries);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Median of sizes of which `beyond` stands for more than the largest; none if that is the median.
std::optional<int> median_size(std::vector<int> sizes, int beyond);

}  // namespace toplens
