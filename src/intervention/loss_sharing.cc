#include "intervention/loss_sharing.h"

#include <algorithm>
#include <thread>

#include "intervention/loss_task.h"

namespace toplens {
namespace {

/// Lanes of a share at least, where every rank gets one: a batch of fewer wastes the weights that
/// it reads.
constexpr std::size_t kLanesPerShare = 8;
constexpr std::size_t kSharesPerRank = 4;

std::size_t begin_of(std::size_t piece, std::size_t pieces, std::size_t count) {
  return piece * count / pieces;
}

/// Shares of a wave as a listener sees them: in lanes, one's own by what it reports.
class ShareProgress : public ProgressListener {
 public:
  ShareProgress(WaveListener* listener, WorkLeader& leader, std::uint64_t lanes)
      : listener_(listener), leader_(leader), lanes_(lanes) {}

  void begin(std::uint64_t lanes) { own_ = lanes; }
  void finish(std::uint64_t lanes) {
    done_ += lanes;
    own_ = 0;
    tell(0);
  }
  void advance(std::uint64_t done, std::uint64_t total) override {
    leader_.check();
    tell(total > 0 ? own_ * done / total : 0);
  }
  /// Others' shares arrived.
  void add(std::uint64_t lanes) {
    done_ += lanes;
    tell(0);
  }

 private:
  void tell(std::uint64_t of_own) {
    if (listener_ != nullptr) listener_->advance(std::min(done_ + of_own, lanes_), lanes_);
  }
  WaveListener* listener_;
  WorkLeader& leader_;
  std::uint64_t lanes_, done_ = 0, own_ = 0;
};

}  // namespace

std::vector<WaveShare> cut_wave(std::size_t treatments, std::size_t windows, int ranks) {
  const std::size_t lanes = treatments * windows;
  const auto most = static_cast<std::size_t>(ranks);
  const std::size_t wanted =
      std::min(lanes, std::clamp(lanes / kLanesPerShare, most, kSharesPerRank * most));
  std::vector<WaveShare> shares;
  if (lanes == 0) return shares;
  const std::size_t columns = std::min(windows, wanted);
  const std::size_t rows = std::min(treatments, (wanted + columns - 1) / columns);
  for (std::size_t column = 0; column < columns; ++column) {
    const std::size_t first_window = begin_of(column, columns, windows);
    for (std::size_t row = 0; row < rows; ++row) {
      const std::size_t first_treatment = begin_of(row, rows, treatments);
      shares.push_back({first_treatment, begin_of(row + 1, rows, treatments) - first_treatment,
                        first_window, begin_of(column + 1, columns, windows) - first_window});
    }
  }
  return shares;
}

std::vector<std::vector<WindowLoss>> LossSharing::measure(
    std::span<const Treatment* const> treatments, std::span<const ScoredWindow> windows,
    const MeasureHere& measure_here, WaveListener* listener) {
  const std::vector<WaveShare> shares = cut_wave(treatments.size(), windows.size(), ranks_);
  const std::uint64_t total_tokens = count_tokens(windows);
  std::vector<WorkTask> tasks;
  for (const WaveShare& share : shares) {
    WorkTask task;
    task.number = static_cast<int>(tasks.size());
    task.count = share.treatments * share.windows;
    task.description =
        encode_loss_task(total_tokens, windows.subspan(share.first_window, share.windows),
                         treatments.subspan(share.first_treatment, share.treatments));
    tasks.push_back(std::move(task));
  }
  std::vector<std::vector<WindowLoss>> losses(treatments.size(),
                                              std::vector<WindowLoss>(windows.size()));
  const auto keep = [&](const WaveShare& share,
                        const std::vector<std::vector<WindowLoss>>& computed) {
    for (std::size_t i = 0; i < share.treatments; ++i) {
      std::copy(computed[i].begin(), computed[i].end(),
                losses[share.first_treatment + i].begin() +
                    static_cast<std::ptrdiff_t>(share.first_window));
    }
  };
  const std::uint64_t lanes = treatments.size() * windows.size();
  ShareProgress progress(listener, leader_, lanes);
  if (listener != nullptr && lanes > 0) {
    listener->start(lanes, static_cast<double>(total_tokens) / static_cast<double>(windows.size()));
  }
  std::size_t kept = 0;
  const auto keep_received = [&] {
    for (const ReceivedResult& result : leader_.received()) {
      const WaveShare& share = shares[static_cast<std::size_t>(result.task.number)];
      keep(share, decode_losses(result.bytes, share.treatments, share.windows));
      progress.add(result.task.count);
      ++kept;
    }
  };
  leader_.offer_round(std::move(tasks));
  while (const std::optional<WorkTask> task = leader_.take()) {
    const WaveShare& share = shares[static_cast<std::size_t>(task->number)];
    progress.begin(task->count);
    keep(share, measure_here(treatments.subspan(share.first_treatment, share.treatments), share,
                             progress));
    progress.finish(task->count);
    ++kept;
    keep_received();
  }
  while (kept < shares.size()) {
    std::this_thread::sleep_for(kPollInterval);
    progress.advance(0, 1);
    keep_received();
  }
  return losses;
}

}  // namespace toplens
