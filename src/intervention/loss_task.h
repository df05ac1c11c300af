#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "intervention/treated_loss.h"

namespace toplens {

/// A share of a wave that another process computes: all its windows under all its treatments.
struct LossTask {
  std::uint64_t total_tokens = 0;  ///< of all windows of the calculation
  std::vector<ScoredWindow> windows;
  std::vector<std::optional<Treatment>> treatments;  ///< none: the untreated model
};

/// As bytes that the processes of a run exchange; all of them run the same build. Numbers keep
/// their bits. Decoding throws Error where they are none of ours, or not of this model.
std::string encode_loss_task(std::uint64_t total_tokens, std::span<const ScoredWindow> windows,
                             std::span<const Treatment* const> treatments);
LossTask decode_loss_task(std::string_view bytes, const ModelConfig& config);

/// Losses [treatment, window].
std::string encode_losses(const std::vector<std::vector<WindowLoss>>& losses);
std::vector<std::vector<WindowLoss>> decode_losses(std::string_view bytes, std::size_t treatments,
                                                   std::size_t windows);

}  // namespace toplens
