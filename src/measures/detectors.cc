#include "measures/detectors.h"

#include <cassert>
#include <utility>

#include "base/random.h"

namespace toplens {

std::vector<std::int32_t> repeated_random_tokens(std::uint64_t seed, std::uint64_t sequence,
                                                 std::size_t tokens, int vocab_size,
                                                 std::optional<std::int32_t> bos) {
  constexpr std::uint64_t kStream = 0x726570656174;  // apart from the other uses of a run's seed
  Random random(seed, {kStream, sequence});
  const bool skip = bos && *bos >= 0 && *bos < vocab_size && vocab_size > 1;
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i < tokens; ++i) {
    auto id = static_cast<std::int32_t>(
        random.below(static_cast<std::uint64_t>(vocab_size - (skip ? 1 : 0))));
    if (skip && id >= *bos) ++id;
    ids.push_back(id);
  }
  std::vector<std::int32_t> repeated;
  if (bos) repeated.push_back(*bos);
  for (int repeat = 0; repeat < 2; ++repeat) {
    repeated.insert(repeated.end(), ids.begin(), ids.end());
  }
  return repeated;
}

std::array<double, kNumDetectors> detector_scores(MatrixView<const float> attention,
                                                  std::span<const std::int32_t> tokens) {
  assert(attention.rows() == tokens.size());
  std::array<double, kNumDetectors> masses{};
  double total = 0.0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const std::span<const float> row = attention.row(i);
    for (std::size_t j = 0; j <= i; ++j) {
      const double weight = row[j];
      total += weight;
      if (j + 1 == i) masses[static_cast<std::size_t>(Detector::previous_token)] += weight;
      if (j < i && tokens[j] == tokens[i]) {
        masses[static_cast<std::size_t>(Detector::duplicate_token)] += weight;
      }
      if (j > 0 && tokens[j - 1] == tokens[i]) {
        masses[static_cast<std::size_t>(Detector::induction)] += weight;
      }
    }
  }
  for (double& mass : masses) mass /= total;
  return masses;
}

DetectorObserver::DetectorObserver(std::vector<std::span<const std::int32_t>> sequences,
                                   std::vector<std::size_t> rows, MeasureRecords& records)
    : sequences_(std::move(sequences)), rows_(std::move(rows)), records_(records) {
  assert(sequences_.size() == rows_.size());
}

void DetectorObserver::observe(const HeadView& view, int /*worker*/) {
  const auto lane = static_cast<std::size_t>(view.lane);
  const std::array<double, kNumDetectors> scores =
      detector_scores(view.attention, sequences_[lane]);
  const std::size_t row =
      (rows_[lane] * records_.shape.layers + static_cast<std::size_t>(view.head.layer)) *
          records_.shape.heads +
      static_cast<std::size_t>(view.head.query_head);
  for (std::size_t d = 0; d < kNumDetectors; ++d) {
    records_.detectors[row * kNumDetectors + d] = static_cast<float>(scores[d]);
  }
}

}  // namespace toplens
