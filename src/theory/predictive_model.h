#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned_vector.h"
#include "base/random.h"
#include "kernels/normal_tail.h"
#include "theory/parameters.h"
#include "theory/ranked_tokens.h"

namespace toplens {

/// What the assumptions predict of the mean separation, theory.md (22)-(24). NaN where the
/// residuals are not known or the set size is not below the number of tokens; all 1 at N = 1.
struct Envelope {
  Separation lower;
  Separation centre;
  Separation upper;
};

struct EnvelopeOptions {
  int draws = 32;     ///< K of (24) for each document
  int documents = 0;  ///< draw envelopes for so many documents, 0: all
  std::uint64_t seed = 2027;
};

/// The documents (of `available`) whose envelopes are drawn: evenly spread, the first among them.
std::vector<std::size_t> envelope_documents(const EnvelopeOptions& options, std::size_t available);

/// The scalar model (20) for one query after the other; an object for one worker.
class PredictiveModel {
 public:
  /// `draws` = K >= 1.
  explicit PredictiveModel(int draws);

  /// Begins a query of `tokens` visible tokens: its normal numbers are drawn once and serve all set
  /// sizes and rankings.
  void start(std::size_t tokens, Random random);

  /// Envelopes for set sizes `residuals` (increasing, any ranking's). `tokens` holds the assumed
  /// contributions, or the measured ones with `norm_spread` 0 (contribution ranking, theory.md 5).
  void evaluate(const RankedTokens& tokens, const HeadAssumptions& assumptions, double norm_spread,
                std::span<const Residuals> residuals, std::span<Envelope> envelopes);

 private:
  void prepare_norms(const RankedTokens& tokens, double norm_spread);
  void prepare_size(const RankedTokens& tokens, const HeadAssumptions& assumptions,
                    double norm_spread, std::size_t size_index, const Residuals& residuals);
  void bound(std::size_t set_size, Envelope& envelope);
  Separation centre(std::size_t set_size);

  std::size_t draws_;
  std::size_t tokens_ = 0;
  std::size_t stride_ = 0;
  AlignedVector<float> z_;       // [draw, rank]
  AlignedVector<float> normal_;  // [draw, rank], logarithms of the norms
  AlignedVector<float> norms_;   // [draw, rank], n

  SimilaritySums sums_;
  std::vector<std::size_t> sizes_;
  // By rank: moments of (21) and coefficients of (20).
  AlignedVector<double> means_, variances_;
  AlignedVector<double> linear_, noise_, square_;
  AlignedVector<double> scores_;
  // Of T.
  PairwiseTails pairs_;
};

}  // namespace toplens
