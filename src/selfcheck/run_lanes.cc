#include "selfcheck/run_lanes.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace toplens {
namespace {

using TokenIds = std::vector<std::int32_t>;
using Losses = std::vector<std::vector<double>>;

/// Tokens of the windows that run the other way about BOS: what it does shows in the first ones.
constexpr std::size_t kBosTokens = 256;
/// Windows shorter than this have no position check.
constexpr std::size_t kLeastForPositions = 32;

/// All lanes: window 0, the same with another last token, the other windows, then what is compared
/// with them.
struct LanePlan {
  std::vector<TokenIds> ids;
  std::vector<std::size_t> windows;  ///< their lanes
  std::vector<std::size_t> bos;      ///< of each window its beginning the other way; may be empty
  std::vector<std::size_t> halves;   ///< of each window its second half; may be empty
};

TokenIds part(const TokenIds& ids, std::size_t first, std::size_t end) {
  return {ids.begin() + static_cast<std::ptrdiff_t>(first),
          ids.begin() + static_cast<std::ptrdiff_t>(end)};
}

TokenIds with_front(std::int32_t id, TokenIds ids) {
  ids.insert(ids.begin(), id);
  return ids;
}

LanePlan make_lanes(const SelfCheckTokens& tokens, int vocab_size) {
  LanePlan plan;
  const auto add = [&](TokenIds ids) {
    plan.ids.push_back(std::move(ids));
    return plan.ids.size() - 1;
  };
  const std::size_t length = tokens.windows.front().token_ids.size();
  for (const TokenWindow& window : tokens.windows) {
    plan.windows.push_back(add(window.token_ids));
    if (plan.ids.size() > 1) continue;
    TokenIds changed = window.token_ids;
    changed.back() = (changed.back() + 1) % vocab_size;
    add(std::move(changed));
  }
  const bool bos_known = tokens.bos_id && *tokens.bos_id >= 0 && *tokens.bos_id < vocab_size;
  for (const TokenWindow& window : tokens.windows) {
    const TokenIds& ids = window.token_ids;
    if (bos_known && length >= 3) {
      const std::size_t end = std::min(kBosTokens, ids.size());
      plan.bos.push_back(add(tokens.has_bos ? part(ids, 1, end)
                                            : with_front(*tokens.bos_id, part(ids, 0, end - 1))));
    }
    if (length < kLeastForPositions) continue;
    TokenIds half = part(ids, ids.size() / 2, ids.size());
    plan.halves.push_back(add(tokens.has_bos ? with_front(*tokens.bos_id, half) : half));
  }
  return plan;
}

CausalityFacts compare_hidden(std::span<const float> window, MatrixView<const float> changed) {
  CausalityFacts facts;
  facts.positions = changed.rows() - 1;
  const std::size_t bytes = changed.columns() * sizeof(float);
  for (std::size_t t = 0; t < changed.rows(); ++t) {
    const bool same =
        std::memcmp(window.data() + t * changed.columns(), changed.row(t).data(), bytes) == 0;
    if (t < facts.positions) {
      facts.changed += same ? 0 : 1;
    } else {
      facts.last_has_changed = !same;
    }
  }
  return facts;
}

/// Collects the losses of the same targets in two lanes.
class PairedSums {
 public:
  void add(std::span<const double> first, std::span<const double> second) {
    for (std::size_t i = 0; i < first.size(); ++i) {
      first_ += first[i];
      second_ += second[i];
      squares_ += std::pow(first[i] - second[i], 2);
    }
    targets_ += first.size();
  }
  PairedLoss loss() const {
    const auto n = static_cast<double>(targets_);
    PairedLoss loss{targets_, first_ / n, second_ / n, 0.0};
    const double variance = squares_ / n - std::pow(loss.first - loss.second, 2);
    loss.standard_error = std::sqrt(std::max(variance, 0.0) / n);
    return loss;
  }

 private:
  std::size_t targets_ = 0;
  double first_ = 0.0, second_ = 0.0, squares_ = 0.0;
};

BosFacts compare_bos(const SelfCheckTokens& tokens, const LanePlan& plan, const Losses& nll) {
  PairedSums sums;
  for (std::size_t window = 0; window < plan.windows.size(); ++window) {
    std::span<const double> here = nll[plan.windows[window]], other = nll[plan.bos[window]];
    // The lane without BOS has no prediction of the text's first token.
    std::span<const double>& with_bos = tokens.has_bos ? here : other;
    with_bos = with_bos.subspan(1);
    const std::size_t targets = std::min(here.size(), other.size());
    sums.add(here.first(targets), other.first(targets));
  }
  return {*tokens.bos_id, tokens.has_bos, sums.loss()};
}

PositionFacts compare_positions(const LanePlan& plan, const Losses& nll) {
  PairedSums sums;
  PositionFacts facts;
  for (std::size_t window = 0; window < plan.windows.size(); ++window) {
    const std::span<const double> all = nll[plan.windows[window]], half = nll[plan.halves[window]];
    const std::size_t targets = (all.size() + 1) / 4;
    sums.add(all.last(targets), half.last(targets));
    facts.least_before = all.size() - targets + 1;
    facts.least_before_short = half.size() - targets + 1;
  }
  facts.loss = sums.loss();
  return facts;
}

}  // namespace

EnginePlan plan_lanes(const ModelSession& session, const SelfCheckTokens& tokens) {
  std::vector<std::size_t> lengths;
  for (const TokenIds& ids : make_lanes(tokens, session.config().vocab_size).ids) {
    lengths.push_back(ids.size());
  }
  EngineDemand demand;
  demand.kept_queries = kept_queries(QuerySelection::all(), static_cast<int>(lengths.front()));
  demand.lanes_wanted = static_cast<int>(lengths.size());
  return session.plan(lengths, demand);
}

PassFacts run_lanes(ModelSession& session, const SelfCheckTokens& tokens, const EnginePlan& plan,
                    ProgressListener* progress) {
  const LanePlan lanes = make_lanes(tokens, session.config().vocab_size);
  ForwardPass pass(session.model(), session.pool(), plan);
  OutputHead head(session.model(), session.pool(), plan);
  AttentionFactsObserver attention;
  AttentionObserver* const observers[] = {&attention};
  PassFacts facts;
  facts.compute = name(plan.compute);
  Losses nll;
  std::vector<float> first_window;
  const auto batch = static_cast<std::size_t>(plan.lanes_per_batch);
  for (std::size_t first = 0; first < lanes.ids.size(); first += batch) {
    std::vector<Lane> now;
    for (std::size_t i = first; i < std::min(first + batch, lanes.ids.size()); ++i) {
      now.push_back({lanes.ids[i]});
    }
    const HiddenStates hidden = pass.run(now, observers, progress);
    for (std::size_t lane = 0; lane < now.size(); ++lane) {
      const MatrixView<const float> rows = hidden.lane(lane);
      if (first + lane == 0) {
        first_window.assign(rows.data(), rows.data() + rows.rows() * rows.columns());
      }
      if (first + lane == 1) facts.causality = compare_hidden(first_window, rows);
    }
    for (auto& lane_nll : head.token_nll(hidden, now)) nll.push_back(std::move(lane_nll));
  }
  facts.attention = attention.facts();
  for (const std::size_t lane : lanes.windows) facts.window_nll.push_back(nll[lane]);
  if (!lanes.bos.empty()) facts.bos = compare_bos(tokens, lanes, nll);
  if (!lanes.halves.empty()) facts.positions = compare_positions(lanes, nll);
  return facts;
}

}  // namespace toplens
