#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "measures/regime.h"

namespace toplens {

/// One mean over heads and documents at one set size.
struct ComparedPoint {
  std::string regime;  ///< "all" or one
  std::string ranking, distance;
  int set_size = 0;
  std::int64_t heads = 0;
  std::array<double, 3> metrics{};  ///< precision, recall, F
};

/// What a comparison reads of a finished run.
struct ComparedRun {
  std::filesystem::path path;
  std::string model, text, queries;
  int context_length = 0;
  std::size_t documents = 0, layers = 0, heads = 0;
  std::vector<Regime> regimes;  ///< [layer][head]
  double mean_stability = 0.0;  ///< NaN where it is not defined
  std::vector<ComparedPoint> curves;
};

/// Throws Error where the directory holds no run, an unfinished one, one of another version, or one
/// without regimes, and says which.
ComparedRun read_compared_run(const std::filesystem::path& directory);

/// Depth is cut into so many equal parts.
inline constexpr std::size_t kDepthParts = 4;

/// Two runs' labels of the heads that correspond; heads correspond where layers and heads are as
/// many.
struct LabelAgreement {
  std::size_t first = 0, second = 0;
  std::int64_t heads = 0;  ///< defined in both; 0 where the runs' heads do not correspond
  std::int64_t same = 0;
};
std::vector<LabelAgreement> label_agreements(const std::vector<ComparedRun>& runs);

/// Shares of the regimes, also by relative depth, label agreement, and the curves of F, for a
/// terminal.
std::string comparison_text(const std::vector<ComparedRun>& runs);

/// The same and all curves in one long table: section, run, other_run, regime, depth, ranking,
/// distance, set_size, quantity, value, heads. Depth is "0.00-0.25" and so on.
std::string comparison_csv(const std::vector<ComparedRun>& runs);

}  // namespace toplens
