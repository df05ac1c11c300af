#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include <toplens/observer.h>

namespace toplens {

/// How one head, at the answer query, sees the tokens of the supporting fact. Its ranking is by
/// attention, ties to the lower index, over the tokens the query sees; support tokens it does not
/// see (sliding window) come behind all of these.
struct SupportMeasures {
  double mass = 0;          ///< attention on the support tokens together
  double displacement = 0;  ///< other tokens ranked before a support token, mean over these
  double recall = 0;        ///< share of the support tokens among the highest ranked
};

/// Ranked tokens among which a support token counts for recall.
inline constexpr std::size_t kSupportRecallSize = 64;

/// Of one attention row over the tokens [first_visible, weights.size()), whose last token is the
/// query itself. `support` holds token positions, increasing, at least one.
SupportMeasures measure_support(std::span<const float> weights, std::size_t first_visible,
                                std::span<const std::size_t> support,
                                std::size_t recall_size = kSupportRecallSize);

/// Measures the support of each lane at its final query.
class SupportObserver : public AttentionObserver {
 public:
  /// `support` holds each lane's positions; none: the lane is not measured.
  explicit SupportObserver(std::vector<std::span<const std::size_t>> support);

  QuerySelection queries() const override { return QuerySelection::last(); }
  void begin(const ObservedPass& pass) override;
  void observe(const HeadView& view, int worker) override;

  /// [layer * query_heads + query_head] of a lane; empty where it is not measured.
  std::vector<SupportMeasures> take(std::size_t lane) { return std::move(measures_[lane]); }

 private:
  std::vector<std::span<const std::size_t>> support_;
  std::size_t heads_ = 0;
  std::vector<std::vector<SupportMeasures>> measures_;
};

}  // namespace toplens
