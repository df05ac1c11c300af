#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include <toplens/observer.h>

namespace toplens {

/// How one head, at the answer query, sees the tokens of the supporting fact (Mudarisov, Burtsev,
/// State 2026, equations 19 and 20). A token that the query does not see (sliding window) has no
/// attention and is not recalled.
struct SupportMeasures {
  double mass = 0;  ///< attention on the support tokens together
  /// Other tokens of the context with at least the attention of a support token, mean over these.
  double displacement = 0;
  /// Share of the support tokens among the highest ranked of all that the query sees, ties to the
  /// lower index.
  double recall = 0;
};

/// Positions in a prompt: the support's, increasing, and those [first, end) of the context that it
/// stands in.
struct SupportTokens {
  std::span<const std::size_t> support;
  std::size_t context_first = 0, context_end = 0;
};

/// Ranked tokens among which a support token counts for recall.
inline constexpr std::size_t kSupportRecallSize = 64;

/// Of one attention row over the tokens [first_visible, weights.size()), whose last token is the
/// query itself. At least one support token.
SupportMeasures measure_support(std::span<const float> weights, std::size_t first_visible,
                                const SupportTokens& tokens,
                                std::size_t recall_size = kSupportRecallSize);

/// Measures the support of each lane at its final query.
class SupportObserver : public AttentionObserver {
 public:
  /// `tokens` are each lane's; without support the lane is not measured.
  explicit SupportObserver(std::vector<SupportTokens> tokens);

  QuerySelection queries() const override { return QuerySelection::last(); }
  void begin(const ObservedPass& pass) override;
  void observe(const HeadView& view, int worker) override;

  /// [layer * query_heads + query_head] of a lane; empty where it is not measured.
  std::vector<SupportMeasures> take(std::size_t lane) { return std::move(measures_[lane]); }

 private:
  std::vector<SupportTokens> tokens_;
  std::size_t heads_ = 0;
  std::vector<std::vector<SupportMeasures>> measures_;
};

}  // namespace toplens
