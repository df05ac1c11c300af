#include "report/warnings.h"

#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "report/words.h"
#include "theory/fit_reason.h"

namespace toplens {
namespace {

constexpr double kPoorFit = 0.5;  // R^2 below which an attention profile describes little

/// "no decay ... (40), decay within one lag (3)", the most frequent first.
std::string counted(const std::vector<std::string>& reasons) {
  std::map<std::string, std::size_t> counts;
  for (const std::string& reason : reasons) {
    if (!reason.empty()) ++counts[reason];
  }
  std::vector<std::pair<std::string, std::size_t>> sorted(counts.begin(), counts.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::string text;
  for (const auto& [reason, count] : sorted) {
    text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", reason, count);
  }
  return text;
}

std::size_t count_not_empty(const std::vector<std::string>& texts) {
  return static_cast<std::size_t>(
      std::count_if(texts.begin(), texts.end(), [](const auto& text) { return !text.empty(); }));
}

template <typename Test>
std::size_t count_if_there(const std::optional<std::vector<double>>& values, const Test& test) {
  return values ? static_cast<std::size_t>(std::count_if(values->begin(), values->end(), test)) : 0;
}

void warn_about_assumptions(std::vector<std::string>& warnings, const ReportRun& run) {
  const RunResults& results = run.results;
  const std::size_t heads = results.num_heads();
  const auto of_heads = [&](std::size_t count) {
    return count == heads ? fmt::format("all {} heads", heads)
                          : fmt::format("{} of {} heads", count, heads);
  };
  const auto zero = [](double value) { return value == 0.0; };
  if (const std::size_t count = count_if_there(head_numbers(results, "sink_compressed"), zero)) {
    warnings.push_back(
        fmt::format("A1 (stable norms, compressed sink): the sink's value is not compressed in {}",
                    of_heads(count)));
  }
  if (const auto decay = head_texts(results, "decay_reason")) {
    if (const std::size_t count = count_not_empty(*decay)) {
      warnings.push_back(
          fmt::format("A2 (exponential similarity decay): no decay is present in {}: {}",
                      of_heads(count), counted(*decay)));
    }
  }
  if (const std::size_t count =
          count_if_there(head_numbers(results, "similarity_applicable"), zero)) {
    warnings.push_back(fmt::format(
        "A2 is not applicable in {}: more than 5% of the unselected tokens have a near-duplicate "
        "among the selected",
        of_heads(count)));
  }
  if (const std::size_t count = count_if_there(head_numbers(results, "profile_r_squared"),
                                               [](double value) { return value < kPoorFit; })) {
    warnings.push_back(
        fmt::format("A3 (piecewise attention profile): the profile explains less than half of the "
                    "mean log-weights (R² below 0.5) in {}",
                    of_heads(count)));
  }
}

void warn_about_estimates(std::vector<std::string>& warnings, const ReportRun& run) {
  const auto norm = head_texts(run.results, "norm_reason");
  const auto similarity = head_texts(run.results, "similarity_reason");
  const auto profile = head_texts(run.results, "profile_reason");
  if (!norm || !similarity || !profile) return;
  std::vector<std::string> names, reasons;
  for (std::size_t head = 0; head < run.results.num_heads(); ++head) {
    if ((*norm)[head].empty() || (*similarity)[head].empty() || (*profile)[head].empty()) continue;
    names.push_back(run.results.head_name(head));
    reasons.push_back((*norm)[head]);
  }
  if (names.empty()) return;
  const std::size_t count = names.size();
  if (count > 6) names.resize(6);
  warnings.push_back(fmt::format("Nothing is estimable in {} ({}{}): {}", count_text(count, "head"),
                                 list_text(names), count > 6 ? ", ..." : "", counted(reasons)));
}

void warn_about_sizes(std::vector<std::string>& warnings, const ReportRun& run) {
  if (!run.curves) return;
  const HeadCurves& curves = *run.curves;
  for (std::size_t size = 0; size < curves.sizes(); ++size) {
    std::size_t undefined = 0;
    for (std::size_t head = 0; head < run.results.num_heads(); ++head) {
      undefined += std::isnan(curves.f_score().measured.mean[head * curves.sizes() + size]) ? 1 : 0;
    }
    if (undefined > 0) {
      warnings.push_back(
          fmt::format("N = {} is not defined for {} of {} heads: they see no more "
                      "tokens than that",
                      curves.set_sizes[size], undefined, run.results.num_heads()));
    }
  }
}

}  // namespace

std::vector<std::string> run_warnings(const ReportRun& run) {
  std::vector<std::string> warnings;
  if (run.results.run["status"] != "complete") {
    warnings.emplace_back("The run is not finished: these are the results it has so far");
  }
  if (run.results.documents < kLeastDocuments) {
    warnings.push_back(fmt::format(
        "{}: too few for fits ({} are needed){}", count_text(run.results.documents, "document"),
        kLeastDocuments,
        run.results.documents < 2 ? " and for any interval" : "; the intervals are rough"));
  }
  warn_about_assumptions(warnings, run);
  warn_about_estimates(warnings, run);
  warn_about_sizes(warnings, run);
  return warnings;
}

}  // namespace toplens
