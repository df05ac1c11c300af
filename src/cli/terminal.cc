#include "cli/terminal.h"

#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>

#include <fmt/format.h>
#include <toplens/error.h>

#include "cli/interrupt.h"

namespace toplens {

void print_output(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    throw Error(fmt::format("standard output cannot be written: {}", std::strerror(errno)));
  }
}

void print_note(const std::string& line) { std::fprintf(stderr, "%s\n", line.c_str()); }

std::string format_duration(double seconds) {
  if (seconds < 1) return "under 1 s";
  if (seconds < 99.5) return fmt::format("{:.0f} s", seconds);
  const auto minutes = static_cast<long>(std::lround(seconds / 60));
  if (minutes < 100) return fmt::format("{} min", minutes);
  return fmt::format("{} h {} min", minutes / 60, minutes % 60);
}

StatusLine::StatusLine() : is_terminal_(isatty(STDERR_FILENO) == 1) {}
StatusLine::~StatusLine() { end(); }

bool StatusLine::is_due() const {
  const std::chrono::duration<double> since_shown = Clock::now() - shown_;
  return since_shown.count() >= (is_terminal_ ? 0.2 : 10.0);
}

void StatusLine::show(const std::string& line) {
  shown_ = Clock::now();
  if (!is_terminal_) return print_note(line);
  std::fprintf(stderr, "\r%-60s", line.c_str());
  std::fflush(stderr);
  line_open_ = true;
}

void StatusLine::end() {
  if (line_open_) std::fputc('\n', stderr);
  line_open_ = false;
}

void StatusLine::erase() {
  if (line_open_) std::fprintf(stderr, "\r%60s\r", "");
  line_open_ = false;
}

void TerminalProgress::advance(std::uint64_t done, std::uint64_t /*total*/) {
  check_interrupt();
  show(finished_units_ + done, false);
}

void TerminalProgress::finish_batch(std::uint64_t units) {
  finished_units_ += units;
  show(finished_units_, finished_units_ >= total_units_);
}

void TerminalProgress::show(std::uint64_t done, bool last) {
  if (!last && !line_.is_due()) return;
  const double elapsed = std::chrono::duration<double>(Clock::now() - start_).count();
  const double fraction = static_cast<double>(done) / static_cast<double>(total_units_);
  const double rate = static_cast<double>(done) * tokens_per_unit_ / std::max(elapsed, 1e-9);
  std::string line = fmt::format("{:3.0f}%  {:.0f} tokens/s", 100 * fraction, rate);
  if (last) {
    line += fmt::format("  done in {}", format_duration(elapsed));
  } else if (fraction > 0) {
    line += fmt::format("  {} left", format_duration(elapsed * (1 - fraction) / fraction));
  }
  line_.show(line);
  if (last) line_.end();
}

}  // namespace toplens
