#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "report/head_curves.h"
#include "report/page_json.h"
#include "report/run_results.h"

namespace toplens {

/// A run and what several figures draw of it.
struct ReportRun {  // NOLINT(bugprone-exception-escape): moves of nlohmann::json do not throw
  RunResults results;
  std::optional<HeadCurves> curves;

  /// Set sizes of the run, those of geometry.nc.
  std::vector<int> set_sizes() const { return curves ? curves->set_sizes : std::vector<int>(); }
};

ReportRun read_report_run(const std::filesystem::path& directory);

/// A figure filled with a run's data; `finding` is its title, `note` what is said of a chosen head.
struct Figure {
  PageJson finding;
  PageJson note = nullptr;
  std::string documents = {};  ///< behind it, in words; empty: those of the run
  std::string alt;  ///< what is drawn, for those who do not see it; the finding is read before it
  std::vector<std::pair<std::string, PageTable>>
      tables;                            ///< by the data names of the specification
  PageJson variants = nullptr;           ///< of the map: scale, domain and label by entry
  PageJson values = PageJson::object();  ///< for "$name" in the specification
};

/// The figure, or why the run has none.
using FigureOrReason = std::variant<Figure, std::string>;

/// A row of the table of figures. The drawing is src/report/figures/<id>.vl.json.
struct FigureRow {
  std::string_view id;
  std::string_view name;     ///< in words, for lists
  std::string_view section;  ///< "run", or "head" for figures of the chosen head
  std::function<FigureOrReason(const ReportRun&)> make;
};

/// In the order of the page.
std::span<const FigureRow> figure_table();

/// Pixels of the drawings with a row for each layer.
int map_height(const ReportRun& run);

// The figures, one file each or a few that belong together.
FigureOrReason map_figure(const ReportRun& run);
FigureOrReason curves_figure(const ReportRun& run);
FigureOrReason regimes_figure(const ReportRun& run);
FigureOrReason sink_figure(const ReportRun& run);
FigureOrReason critical_size_figure(const ReportRun& run);
FigureOrReason loss_figure(const ReportRun& run);
FigureOrReason budget_figure(const ReportRun& run);
FigureOrReason norm_figure(const ReportRun& run);
FigureOrReason similarity_figure(const ReportRun& run);
FigureOrReason profile_figure(const ReportRun& run);
FigureOrReason token_figure(const ReportRun& run);

}  // namespace toplens
