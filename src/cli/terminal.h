#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "parallel/progress.h"

namespace toplens {

/// Writes whole text to standard output and throws Error if it cannot (a full disk, a closed pipe).
void print_output(const std::string& text);
/// One line to standard error.
void print_note(const std::string& line);

/// "45 s", "12 min", "3 h 20 min".
std::string format_duration(double seconds);

/// Progress of a run over several batches on standard error: one line that is rewritten on a
/// terminal, else a plain line now and then. Also where an interrupt is noticed.
class TerminalProgress : public ProgressListener {
 public:
  /// `tokens_per_unit`: tokens that one unit of work stands for, for the rate.
  TerminalProgress(std::uint64_t total_units, double tokens_per_unit);
  ~TerminalProgress() override;
  void advance(std::uint64_t done, std::uint64_t total) override;
  /// The batch is finished; the next advance() counts from here.
  void finish_batch(std::uint64_t units);

 private:
  void show(std::uint64_t done, bool last);
  using Clock = std::chrono::steady_clock;
  std::uint64_t total_units_;
  double tokens_per_unit_;
  std::uint64_t finished_units_ = 0;
  bool is_terminal_;
  bool line_open_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point shown_ = start_;
};

}  // namespace toplens
