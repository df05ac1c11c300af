#pragma once

#include <optional>

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

}  // namespace toplens
