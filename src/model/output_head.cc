#include "model/output_head.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>
#include <toplens/error.h>

#include "kernels/convert.h"
#include "kernels/rms_norm.h"
#include "kernels/softmax.h"

namespace toplens {
namespace {

/// Combines the slices of one row in the order of the vocabulary, so that threads do not matter.
double log_sum_exp(std::span<const PartialLogSumExp> slices) {
  double max = -INFINITY;
  for (const PartialLogSumExp& slice : slices) {
    max = std::max(max, slice.max);
  }
  double sum = 0;
  for (const PartialLogSumExp& slice : slices) sum += slice.sum * std::exp(slice.max - max);
  return max + std::log(sum);
}

}  // namespace

OutputHead::OutputHead(const CheckpointModel& model, ThreadPool& pool, const EnginePlan& plan)
    : model_(model),
      config_(model.config()),
      pool_(pool),
      projector_(pool, plan.compute),
      normalized_(plan.compute, plan.block_rows),
      norm_(model.final_norm()) {}

void OutputHead::normalize(MatrixView<const float> rows) {
  normalized_.resize(rows.rows(), rows.columns());
  for_row_ranges(pool_, rows.rows(), [&](std::size_t first, std::size_t count, int) {
    std::vector<float> normalized(rows.columns());
    for (std::size_t row = first; row < first + count; ++row) {
      rms_norm(rows.row(row), norm_, config_.norm_epsilon, normalized);
      normalized_.store(row, 0, normalized);
    }
  });
}

void OutputHead::project(const Projector::Store& store,
                         const std::function<std::string(std::size_t)>& place) {
  const WeightMatrix head = model_.output_head();
  const auto softcap = static_cast<float>(config_.final_softcap);
  const std::array<Projector::Output, 1> output = {
      {{&head, [&](std::size_t row, std::size_t first, std::span<const float> values) {
          if (!all_finite(values)) {  // the soft-cap would make infinity finite
            const std::string weight = model_.find_non_finite_weight(config_.num_layers);
            throw Error(
                fmt::format("output head: logits are not finite in {} ({})", place(row),
                            weight.empty() ? "the weights are finite: an overflow" : weight));
          }
          if (softcap == 0) return store(row, first, values);
          std::array<float, kMaxSliceOutputs> capped;
          std::copy(values.begin(), values.end(), capped.begin());
          apply_softcap(std::span(capped).first(values.size()), softcap);
          store(row, first, std::span<const float>(capped).first(values.size()));
        }}}};
  projector_.run(normalized_, output);
  model_.tensors().check_intact();
}

void OutputHead::logits(
    const HiddenStates& hidden, std::size_t lane,
    const std::function<void(std::size_t, std::size_t, std::span<const float>)>& store) {
  const MatrixView<const float> rows = hidden.lane(lane);
  for (std::size_t first = 0; first < rows.rows(); first += kFullBlockRows) {
    normalize(rows.row_range(first, std::min(kFullBlockRows, rows.rows() - first)));
    project(
        [&](std::size_t row, std::size_t first_output, std::span<const float> values) {
          store(first + row, first_output, values);
        },
        [&](std::size_t row) { return fmt::format("document {} at token {}", lane, first + row); });
  }
}

std::vector<std::vector<double>> OutputHead::token_nll(const HiddenStates& hidden,
                                                       std::span<const Lane> lanes) {
  // What each row of the residual streams predicts; a lane's last row predicts nothing.
  constexpr std::size_t kNoTarget = static_cast<std::size_t>(-1);
  std::vector<std::size_t> targets(hidden.rows(), kNoTarget);
  for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
    const std::span<const std::int32_t> ids = lanes[lane].token_ids;
    for (std::size_t t = 1; t < ids.size(); ++t) {
      targets[hidden.first_row(lane) + t - 1] = static_cast<std::size_t>(ids[t]);
    }
  }
  const auto vocabulary = static_cast<std::size_t>(config_.vocab_size);
  // Slices are equal and at most kMaxSliceOutputs wide, so more than half of that where there are
  // several.
  const std::size_t max_slices = 2 * (vocabulary / kMaxSliceOutputs) + 2;
  std::vector<PartialLogSumExp> partial(kFullBlockRows * max_slices);
  std::vector<double> target_logit(kFullBlockRows);
  std::vector<double> row_nll(hidden.rows());
  model_.prefetch_head();
  for (std::size_t first = 0; first < hidden.rows(); first += kFullBlockRows) {
    const std::size_t count = std::min(kFullBlockRows, hidden.rows() - first);
    normalize(hidden.rows(first, count));
    std::fill(partial.begin(), partial.end(), PartialLogSumExp{-INFINITY, 0});
    project(
        [&](std::size_t row, std::size_t first_output, std::span<const float> values) {
          const std::size_t slice = first_output / (kMaxSliceOutputs / 2);
          partial[row * max_slices + slice] = partial_log_sum_exp(values);
          const std::size_t target = targets[first + row];
          if (target >= first_output && target < first_output + values.size()) {
            target_logit[row] = values[target - first_output];
          }
        },
        [&](std::size_t row) {
          std::size_t lane = 0;
          while (lane + 1 < lanes.size() && hidden.first_row(lane + 1) <= first + row) ++lane;
          return fmt::format("document {} at token {}", lane, first + row - hidden.first_row(lane));
        });
    for (std::size_t row = 0; row < count; ++row) {
      row_nll[first + row] =
          log_sum_exp(std::span(partial).subspan(row * max_slices, max_slices)) - target_logit[row];
    }
  }
  model_.release_embeddings();
  std::vector<std::vector<double>> nll(lanes.size());
  for (std::size_t lane = 0; lane < lanes.size(); ++lane) {
    for (std::size_t t = 1; t < lanes[lane].token_ids.size(); ++t) {
      nll[lane].push_back(row_nll[hidden.first_row(lane) + t - 1]);
    }
  }
  return nll;
}

}  // namespace toplens
