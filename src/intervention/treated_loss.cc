#include "intervention/treated_loss.h"

#include <algorithm>
#include <cassert>
#include <map>
#include <numeric>
#include <tuple>

#include "intervention/loss_sharing.h"

namespace toplens {
namespace {

/// Passes on what one of several passes of a wave reports.
class PassProgress : public ProgressListener {
 public:
  PassProgress(WaveListener& listener, std::uint64_t before, std::uint64_t total)
      : listener_(listener), before_(before), total_(total) {}
  void advance(std::uint64_t done, std::uint64_t) override {
    listener_.advance(before_ + done, total_);
  }

 private:
  WaveListener& listener_;
  std::uint64_t before_, total_;
};

/// A wave's progress for who wants progress alone.
class PlainProgress : public WaveListener {
 public:
  explicit PlainProgress(ProgressListener& listener) : listener_(listener) {}
  void start(std::uint64_t /*units*/, double /*tokens_per_unit*/) override {}
  void advance(std::uint64_t done, std::uint64_t total) override { listener_.advance(done, total); }

 private:
  ProgressListener& listener_;
};

bool can_fork(const Treatment* treatment) {
  return treatment != nullptr && treatment->first_layer() > 0;
}

/// What forks at late layers together keeps a batch's source lane worth its while.
std::vector<std::size_t> by_first_layer(std::span<const Treatment* const> treatments) {
  std::vector<std::size_t> order(treatments.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const auto first = [&](std::size_t i) {
      return treatments[i] == nullptr ? -1 : treatments[i]->first_layer();
    };
    return first(a) < first(b);
  });
  return order;
}

/// Of some windows of a calculation of `total_tokens`: the blocks, and so the bits, follow from
/// all.
EnginePlan plan_lanes(const ModelSession& session, std::span<const ScoredWindow> windows,
                      int lanes_at_once, std::uint64_t total_tokens) {
  std::vector<std::size_t> lengths;
  for (const ScoredWindow& window : windows) lengths.push_back(window.token_ids.size());
  EngineDemand demand;
  demand.total_rows = total_tokens - count_tokens(windows);
  demand.lanes_wanted = lanes_at_once;
  return session.plan(lengths, demand);
}

}  // namespace

std::uint64_t count_tokens(std::span<const ScoredWindow> windows) {
  std::uint64_t tokens = 0;
  for (const ScoredWindow& window : windows) tokens += window.token_ids.size();
  return tokens;
}

TreatedLoss::TreatedLoss(ModelSession& session, std::vector<ScoredWindow> windows,
                         const EnginePlan& plan, LossSharing* sharing)
    : session_(session),
      windows_(std::move(windows)),
      plan_(plan),
      pass_(session.model(), session.pool(), plan_),
      head_(session.model(), session.pool(), plan_),
      sharing_(sharing) {}

TreatedLoss::TreatedLoss(ModelSession& session, std::vector<ScoredWindow> windows,
                         int lanes_at_once, LossSharing* sharing)
    : TreatedLoss(session, windows,
                  plan_lanes(session, windows, lanes_at_once, count_tokens(windows)), sharing) {}

TreatedLoss TreatedLoss::of_share(ModelSession& session, std::vector<ScoredWindow> windows,
                                  int lanes_at_once, std::uint64_t total_tokens) {
  const EnginePlan plan = plan_lanes(session, windows, lanes_at_once, total_tokens);
  return TreatedLoss(session, std::move(windows), plan, nullptr);
}

int TreatedLoss::ranks() const { return sharing_ == nullptr ? 1 : sharing_->ranks(); }

TreatedLoss::Batch TreatedLoss::make_batch(std::span<const Treatment* const> treatments,
                                           std::vector<Job> jobs) const {
  const int layers = config().num_layers;
  // A lane for the fork's sake alone must save more layers than it costs.
  std::map<std::size_t, int> layers_saved;
  for (const Job& job : jobs) {
    if (treatments[job.treatment] == nullptr) layers_saved[job.window] += layers + 1;
    if (can_fork(treatments[job.treatment])) {
      layers_saved[job.window] += treatments[job.treatment]->first_layer();
    }
  }
  const auto forks = [&](const Job& job) {
    return job.treatment != kSourceOnly && can_fork(treatments[job.treatment]) &&
           layers_saved[job.window] > layers;
  };
  std::map<std::size_t, bool> has_source;
  for (const Job& job : jobs) {
    if (treatments[job.treatment] == nullptr) has_source[job.window] = true;
  }
  const std::size_t wanted = jobs.size();
  for (std::size_t i = 0; i < wanted; ++i) {
    if (!forks(jobs[i]) || has_source[jobs[i].window]) continue;
    has_source[jobs[i].window] = true;
    jobs.push_back({kSourceOnly, jobs[i].window});
  }
  // The engine wants forking lanes last, in the order of their first layer.
  std::stable_sort(jobs.begin(), jobs.end(), [&](const Job& a, const Job& b) {
    const auto order = [&](const Job& job) {
      return forks(job) ? 1 + treatments[job.treatment]->first_layer() : 0;
    };
    return order(a) < order(b);
  });
  Batch batch;
  std::map<std::size_t, int> source;
  for (const Job& job : jobs) {
    Lane lane;
    lane.token_ids = windows_[job.window].token_ids;
    lane.document = windows_[job.window].document;
    if (job.treatment != kSourceOnly) lane.treatment = treatments[job.treatment];
    if (forks(job)) lane.fork_of = source.at(job.window);
    if (lane.treatment == nullptr) source[job.window] = static_cast<int>(batch.lanes.size());
    batch.lanes.push_back(lane);
  }
  batch.jobs = std::move(jobs);
  return batch;
}

std::vector<TreatedLoss::Batch> TreatedLoss::make_batches(
    std::span<const Treatment* const> treatments, WindowRange range) const {
  std::size_t longest = 0;
  for (const ScoredWindow& window : windows_) longest = std::max(longest, window.token_ids.size());
  const std::size_t room = static_cast<std::size_t>(plan_.lanes_per_batch) * longest;
  const std::vector<std::size_t> order = by_first_layer(treatments);
  std::vector<Batch> batches;
  std::vector<Job> jobs;
  std::size_t rows = 0;
  std::size_t source_window = windows_.size();  // the window that room for a source is taken for
  for (std::size_t window = range.first; window < range.first + range.count; ++window) {
    const std::size_t length = windows_[window].token_ids.size();
    for (const std::size_t treatment : order) {
      const bool needs_source =
          (treatments[treatment] == nullptr || can_fork(treatments[treatment]));
      const auto wanted = [&] {
        const bool new_source =
            needs_source && source_window != window && treatments[treatment] != nullptr;
        return length * (new_source ? 2 : 1);
      };
      if (!jobs.empty() && rows + wanted() > room) {
        batches.push_back(make_batch(treatments, std::move(jobs)));
        jobs.clear();
        rows = 0;
        source_window = windows_.size();
      }
      rows += wanted();
      if (needs_source) source_window = window;
      jobs.push_back({treatment, window});
    }
  }
  if (!jobs.empty()) batches.push_back(make_batch(treatments, std::move(jobs)));
  return batches;
}

std::vector<std::vector<WindowLoss>> TreatedLoss::measure(
    std::span<const Treatment* const> treatments, WaveListener* listener) {
  if (sharing_ == nullptr) return measure_here(treatments, {0, windows_.size()}, listener);
  const std::vector<std::size_t> order = by_first_layer(treatments);
  std::vector<const Treatment*> ordered;
  for (const std::size_t i : order) ordered.push_back(treatments[i]);
  std::vector<std::vector<WindowLoss>> shared = sharing_->measure(
      ordered, windows_,
      [&](std::span<const Treatment* const> some, const WaveShare& share,
          ProgressListener& progress) {
        PlainProgress plain(progress);
        return measure_here(some, {share.first_window, share.windows}, &plain);
      },
      listener);
  std::vector<std::vector<WindowLoss>> losses(treatments.size());
  for (std::size_t i = 0; i < order.size(); ++i) losses[order[i]] = std::move(shared[i]);
  return losses;
}

std::vector<std::vector<WindowLoss>> TreatedLoss::measure_here(
    std::span<const Treatment* const> treatments, WindowRange range, WaveListener* listener) {
  std::vector<std::vector<WindowLoss>> losses(treatments.size(),
                                              std::vector<WindowLoss>(range.count));
  const std::vector<Batch> batches = make_batches(treatments, range);
  std::uint64_t total = 0, done = 0;
  double tokens = 0;
  const auto units = [&](const Batch& batch) {
    std::uint64_t sum = 0;
    for (const Lane& lane : batch.lanes) {
      sum += static_cast<std::uint64_t>(config().num_layers - lane.first_layer());
    }
    return sum;
  };
  for (const Batch& batch : batches) {
    total += units(batch);
    for (const Lane& lane : batch.lanes) tokens += static_cast<double>(lane.token_ids.size());
  }
  if (listener != nullptr && total > 0) listener->start(total, tokens / static_cast<double>(total));
  for (const Batch& batch : batches) {
    HiddenStates hidden = [&] {
      if (listener == nullptr) return pass_.run(batch.lanes, {});
      PassProgress progress(*listener, done, total);
      return pass_.run(batch.lanes, {}, &progress);
    }();
    done += units(batch);
    const std::vector<std::vector<double>> nll = head_.token_nll(hidden, batch.lanes);
    for (std::size_t lane = 0; lane < batch.lanes.size(); ++lane) {
      const Job& job = batch.jobs[lane];
      if (job.treatment == kSourceOnly) continue;
      const ScoredWindow& window = windows_[job.window];
      double sum = 0;
      for (std::size_t t = window.first_target; t < window.token_ids.size(); ++t) {
        sum += nll[lane][t - 1];
      }
      losses[job.treatment][job.window - range.first] = {
          sum / static_cast<double>(window.num_targets()), hidden.rows_without_mass(lane)};
    }
  }
  return losses;
}

}  // namespace toplens
