#include "report/figure.h"

namespace toplens {

std::span<const FigureRow> figure_table() {
  static const std::vector<FigureRow> kRows = {
      {"map", "map of the heads", "run", map_figure},
      {"curves", "precision, recall and F against N", "run", curves_figure},
      {"regimes", "regimes by depth", "run", regimes_figure},
      {"sink", "sink similarity against recall", "run", sink_figure},
      {"critical_size", "histogram of N_crit", "run", critical_size_figure},
      {"loss", "loss against N", "run", loss_figure},
      {"budget", "budgets against uniform N", "run", budget_figure},
      {"norms", "norms by position", "head", norm_figure},
      {"similarity", "similarity by lag", "head", similarity_figure},
      {"profile", "attention by position", "head", profile_figure},
      {"tokens", "tokens of one document", "head", token_figure},
  };
  return kRows;
}

ReportRun read_report_run(const std::filesystem::path& directory) {
  ReportRun run;
  run.results = read_run_results(directory);
  run.curves = read_head_curves(run.results);
  return run;
}

}  // namespace toplens
