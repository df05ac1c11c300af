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

/// One line on standard error that is rewritten on a terminal, else a plain line now and then.
class StatusLine {
 public:
  StatusLine();
  /// Leaves the line as it is.
  ~StatusLine();
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;
  /// Whether it is time for another line.
  bool is_due() const;
  bool is_rewritten() const { return is_terminal_; }
  void show(const std::string& line);
  /// The next output begins a line of its own.
  void end();
  /// The same, without a trace of this one on a terminal.
  void erase();

 private:
  using Clock = std::chrono::steady_clock;
  bool is_terminal_;
  bool line_open_ = false;
  Clock::time_point shown_ = Clock::now();
};

/// Progress of a run over several batches on standard error, on a StatusLine. Also where an
/// interrupt is noticed.
class TerminalProgress : public ProgressListener {
 public:
  /// `tokens_per_unit`: tokens that one unit of work stands for, for the rate.
  TerminalProgress(std::uint64_t total_units, double tokens_per_unit)
      : total_units_(total_units), tokens_per_unit_(tokens_per_unit) {}
  void advance(std::uint64_t done, std::uint64_t total) override;
  /// The batch is finished; the next advance() counts from here.
  void finish_batch(std::uint64_t units);

 private:
  void show(std::uint64_t done, bool last);
  using Clock = std::chrono::steady_clock;
  std::uint64_t total_units_;
  double tokens_per_unit_;
  std::uint64_t finished_units_ = 0;
  Clock::time_point start_ = Clock::now();
  StatusLine line_;
};

}  // namespace toplens
