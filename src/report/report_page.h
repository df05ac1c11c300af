#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace toplens {

/// A figure that a run's results are not enough for.
struct LeftOutFigure {
  std::string run;  ///< name of its directory
  std::string figure, reason;
};

/// What write_report() wrote.
struct ReportOutcome {
  std::filesystem::path page;
  std::size_t bytes = 0;
  std::vector<LeftOutFigure> left_out;
};

/// Writes the page of one run, or of several side by side, from their saved results alone: one HTML
/// file that needs neither network nor other files. It appears whole or not at all. Throws Error
/// naming the directory, file or target that is wrong.
ReportOutcome write_report(const std::vector<std::filesystem::path>& run_directories,
                           const std::filesystem::path& page);

}  // namespace toplens
