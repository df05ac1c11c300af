#pragma once

#include <optional>
#include <string>

#include <fmt/format.h>

#include "cli/interrupt.h"
#include "cli/terminal.h"
#include "intervention/treated_loss.h"

namespace toplens {

/// Waves of lanes on standard error, one after the other.
class WaveProgress : public WaveListener {
 public:
  void start(std::uint64_t units, double tokens_per_unit) override {
    progress_.emplace(units, tokens_per_unit);
  }
  void advance(std::uint64_t done, std::uint64_t total) override {
    progress_->advance(done, total);
  }
  void finish() { progress_.reset(); }

 private:
  std::optional<TerminalProgress> progress_;
};

/// Runs `action`; where an interrupt ends it and its results go to `out`, says how to go on.
template <typename Action>
auto interruptible(const std::string& out, const Action& action) {
  try {
    return action();
  } catch (const Interrupted&) {
    if (!out.empty()) {
      print_note(fmt::format(
          "\nWhat was evaluated is kept in {}; go on with the same command and --resume", out));
    }
    throw;
  }
}

}  // namespace toplens
