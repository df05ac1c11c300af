#include "intervention/loss_protocol.h"

#include <algorithm>
#include <cassert>

#include <fmt/format.h>
#include <toplens/error.h>

namespace toplens {

std::string describe(const LossProtocol& protocol, int context_length) {
  const std::size_t targets = protocol.targets_per_window(context_length);
  return fmt::format("{} window{} of {} tokens, {}, {}", protocol.windows,
                     protocol.windows == 1 ? "" : "s", context_length,
                     protocol.has_bos ? "BOS added in front of each" : "no BOS added",
                     protocol.score_tail > 0 ? fmt::format("the last {} targets scored", targets)
                                             : fmt::format("all {} targets scored", targets));
}

void check(const LossProtocol& protocol) {
  if (protocol.context_lengths.empty()) throw Error("no context length is given");
  int before = 1;
  for (const int length : protocol.context_lengths) {
    if (length <= before) {
      throw Error(before == 1
                      ? fmt::format("context length {}: at least 2 tokens are needed", length)
                      : fmt::format("context length {} after {}: must increase", length, before));
    }
    before = length;
  }
  const int shortest = protocol.context_lengths.front();
  if (protocol.score_tail >= shortest) {
    throw Error(
        fmt::format("the last {} targets (--score-tail) do not fit a window of {} tokens: its "
                    "first token is no "
                    "target",
                    protocol.score_tail, shortest));
  }
}

std::vector<ScoredWindow> scored_windows(std::span<const TokenWindow> longest,
                                         const LossProtocol& protocol, int context_length) {
  std::vector<ScoredWindow> windows;
  for (const TokenWindow& window : longest) {
    const std::vector<std::int32_t>& ids = window.token_ids;
    assert(static_cast<std::size_t>(context_length) <= ids.size());
    const auto bos = static_cast<std::ptrdiff_t>(window.has_bos ? 1 : 0);
    ScoredWindow scored;
    scored.document = windows.size();
    scored.token_ids.assign(ids.begin(), ids.begin() + bos);
    scored.token_ids.insert(scored.token_ids.end(), ids.end() - (context_length - bos), ids.end());
    scored.first_target = scored.token_ids.size() - protocol.targets_per_window(context_length);
    windows.push_back(std::move(scored));
  }
  return windows;
}

}  // namespace toplens
