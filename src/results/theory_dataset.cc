#include "results/theory_dataset.h"

#include <cmath>
#include <functional>
#include <limits>
#include <optional>

#include <fmt/format.h>

#include "statistics/bootstrap.h"
#include "theory/theory_summary.h"

namespace toplens {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
const std::vector<std::string> kBySize = {"layer", "head", "ranking", "set_size"};
const std::vector<std::string> kByRanking = {"layer", "head", "ranking"};

/// One number at a set size of a head and ranking.
struct SizeRow {
  std::string name;
  std::string group;  ///< whose reason says why it is NaN
  std::function<double(const TheoryAtSize&)> value;
  std::string long_name;
};

struct SeparationRow {
  std::string name, group, long_name;
  std::function<Separation(const TheoryAtSize&)> value;
};

std::string_view title(Metric metric) {
  return metric == Metric::precision ? "precision P_N"
         : metric == Metric::recall  ? "recall R_N"
                                     : "F-score F_N";
}

const std::vector<SizeRow>& size_rows() {
  static const std::vector<SizeRow> kRows = [] {
    const std::vector<SeparationRow> separations = {
        {"lower", "prediction", "lower bound of the envelope of the mean, theory.md (22)",
         [](const TheoryAtSize& s) { return s.envelope.lower; }},
        {"predicted", "prediction", "predicted mean, theory.md (24)",
         [](const TheoryAtSize& s) { return s.envelope.centre; }},
        {"upper", "prediction", "upper bound of the envelope of the mean, theory.md (23)",
         [](const TheoryAtSize& s) { return s.envelope.upper; }},
        {"chernoff", "bound", "conditional lower bound of the mean, theory.md (15)-(17)",
         [](const TheoryAtSize& s) {
           return Separation{s.chernoff_precision.mean, s.chernoff_recall.mean, s.chernoff_f_score};
         }},
        {"gaussian", "bound", "the same with the normal tail: a prediction, not a bound",
         [](const TheoryAtSize& s) { return s.gaussian; }},
        {"distribution_free", "inversions", "lower bound from the inversions, theory.md (8)",
         [](const TheoryAtSize& s) { return s.distribution_free; }},
    };
    std::vector<SizeRow> rows;
    for (const auto& [metric, metric_name] : kMetricNames) {
      rows.push_back({fmt::format("measured_{}", metric_name), "measurement",
                      [m = metric](const TheoryAtSize& s) { return measured_of(s, m).mean; },
                      fmt::format("{}: measured, mean over documents, Euclidean, final query",
                                  title(metric))});
      rows.push_back(
          {fmt::format("measured_{}_error", metric_name), "measurement",
           [m = metric](const TheoryAtSize& s) { return measured_of(s, m).standard_error; },
           fmt::format("{}: standard error of the measured mean", title(metric))});
      for (const SeparationRow& row : separations) {
        rows.push_back({fmt::format("{}_{}", row.name, metric_name), row.group,
                        [m = metric, value = row.value](const TheoryAtSize& s) {
                          return value_of(value(s), m);
                        },
                        fmt::format("{}: {}", title(metric), row.long_name)});
      }
      rows.push_back({fmt::format("covered_{}", metric_name), "prediction",
                      [m = metric](const TheoryAtSize& s) {
                        const double lower = value_of(s.envelope.lower, m);
                        if (std::isnan(lower)) return kNan;
                        const CoverageCell cell{0,     s.set_size, measured_of(s, m),
                                                lower, 0.0,        value_of(s.envelope.upper, m)};
                        return covers(cell, cell.measured.tolerance()) ? 1.0 : 0.0;
                      },
                      fmt::format("{}: 1 where the envelope covers the measured mean within the "
                                  "tolerance of theory.md 5",
                                  title(metric))});
    }
    rows.push_back({"uniform_precision", "bound",
                    [](const TheoryAtSize& s) { return s.uniform_precision; },
                    "lower bound of P_N from the smallest margin alone, theory.md (18)"});
    rows.push_back({"separation_guaranteed", "bound",
                    [](const TheoryAtSize& s) { return s.separation_guaranteed; },
                    "share of documents whose dimension suffices for gamma_N > 0 with probability "
                    "0.95, theory.md (19)"});
    rows.push_back({"separation_measured", "measurement",
                    [](const TheoryAtSize& s) { return s.separation_measured; },
                    "share of documents with gamma_N > 0"});
    rows.push_back({"sink_selected", "measurement",
                    [](const TheoryAtSize& s) { return s.sink_selected; },
                    "share of documents whose token 0 is among the N"});
    rows.push_back({"sink_threshold", "sink_threshold",
                    [](const TheoryAtSize& s) { return s.sink_threshold.value_or(kNan); },
                    "rho*, sink similarity above which the sink counts for recall, theory.md (26); "
                    "mean over documents that select it"});
    return rows;
  }();
  return kRows;
}

struct LimitRow {
  std::string_view name;
  std::optional<int> HeadTheory::*value;
  bool needs_prediction;
  std::string_view long_name;
};
constexpr LimitRow kLimits[] = {
    {"critical_size", &HeadTheory::critical_size, true,
     "N_crit, theory.md (25), median over documents"},
    {"predicted_half_size", &HeadTheory::predicted_half, true,
     "smallest N whose predicted F is below 0.5"},
    {"measured_half_size", &HeadTheory::measured_half, false,
     "smallest N whose measured F is below 0.5"},
};

/// Why nothing at all is predicted of a head.
FitReason head_reason(const PooledTheory& theory, const RunTheoryOptions& options,
                      std::size_t ranking, std::size_t head) {
  const std::vector<TheoryAtSize>& sizes = theory.run.heads_of[ranking][head].sizes;
  if (sizes.empty() || sizes.back().set_size < 2) return FitReason::too_few_tokens;
  if (theory.run.heads_of[ranking][head].predicted) return FitReason::estimated;
  return prediction_reason(theory, options, ranking, head, sizes.size() - 1);
}

/// A set size of a head, or why it has none.
struct Limit {
  double size = kNan;
  FitReason reason = FitReason::estimated;
};

Limit limit_of(const LimitRow& row, const PooledTheory& theory, const RunTheoryOptions& options,
               std::size_t ranking, std::size_t head) {
  const HeadTheory& at = theory.run.heads_of[ranking][head];
  FitReason reason = at.sizes.empty() ? FitReason::too_few_tokens : FitReason::estimated;
  if (row.needs_prediction) reason = head_reason(theory, options, ranking, head);
  if (reason != FitReason::estimated) return {kNan, reason};
  const std::optional<int>& size = at.*row.value;
  return size ? Limit{double(*size), reason} : Limit{kNan, FitReason::beyond_largest_size};
}

/// Coverage, error and width of one head and metric.
struct HeadCoverage {
  double coverage = kNan, centre_error = kNan, width = kNan;
};

HeadCoverage coverage_of(const HeadTheory& head, Metric metric) {
  const CoverageSummary summary = summarize_coverage(coverage_cells(std::span(&head, 1), metric));
  if (summary.cells == 0) return {};
  return {summary.coverage.mean, summary.centre_error.mean, summary.width.mean};
}

struct CoverageRow {
  std::string_view name;
  double HeadCoverage::*value;
  std::string_view long_name;
};
constexpr CoverageRow kCoverageRows[] = {
    {"coverage", &HeadCoverage::coverage, "share of set sizes N >= 2 that the envelope covers"},
    {"centre_error", &HeadCoverage::centre_error,
     "mean over set sizes N >= 2 of |predicted - measured|"},
    {"envelope_width", &HeadCoverage::width, "mean over set sizes N >= 2 of upper - lower"},
};

Attributes with_reason(std::string_view units, std::string_view long_name, std::string_view group) {
  Attributes attributes = describe(units, long_name);
  attributes["reason"] = fmt::format("{}_reason", group);
  return attributes;
}

/// Why a head's assumptions, on which all bounds and predictions rest, are not known.
FitReason assumption_reason(const PooledTheory& theory, const RunTheoryOptions& options,
                            std::size_t ranking, std::size_t head) {
  if (!has_prediction(theory.run.rankings[ranking])) return FitReason::no_prediction;
  const ValueFit& values = theory.run.fits[head].values;
  if (values.norms.reason != FitReason::estimated) return values.norms.reason;
  if (values.similarity.reason != FitReason::estimated) return values.similarity.reason;
  return options.dimension == EffectiveDimension::effective_rank ? values.effective_rank.reason
                                                                 : FitReason::estimated;
}

/// Reasons of every group at one cell.
FitReason reason_of(std::string_view group, const PooledTheory& theory,
                    const RunTheoryOptions& options, std::size_t ranking, std::size_t head,
                    std::size_t size) {
  const HeadTheory& at = theory.run.heads_of[ranking][head];
  if (size >= at.sizes.size()) return FitReason::too_few_tokens;
  if (group == "measurement") return FitReason::estimated;
  if (group == "inversions") {
    return std::isnan(at.sizes[size].distribution_free.precision) ? FitReason::not_measured
                                                                  : FitReason::estimated;
  }
  if (group == "prediction") return prediction_reason(theory, options, ranking, head, size);
  FitReason reason = assumption_reason(theory, options, ranking, head);
  if (group == "bound" && reason == FitReason::estimated) {
    reason = theory.run.fits[head].residuals[ranking].sizes[size].reason;
  }
  if (group == "bound" || reason != FitReason::estimated) return reason;
  if (at.sizes[size].sink_threshold) return FitReason::estimated;
  return at.sizes[size].sink_selected > 0.0 && at.sizes[size].set_size >= 2
             ? FitReason::no_sink_threshold
             : FitReason::sink_not_selected;
}

constexpr std::string_view kGroups[] = {"measurement", "prediction", "bound", "inversions",
                                        "sink_threshold"};

/// [head][ranking][size] in one row, `value` of those that are defined.
template <typename Value>
std::vector<double> by_size(const PooledTheory& theory, const Value& value) {
  std::vector<double> values;
  for (std::size_t head = 0; head < theory.run.fits.size(); ++head) {
    for (std::size_t r = 0; r < theory.run.rankings.size(); ++r) {
      const std::vector<TheoryAtSize>& sizes = theory.run.heads_of[r][head].sizes;
      for (std::size_t n = 0; n < theory.shape.layout.set_sizes.size(); ++n) {
        values.push_back(n < sizes.size() ? value(head, r, n, sizes[n]) : kNan);
      }
    }
  }
  return values;
}

}  // namespace

FitReason prediction_reason(const PooledTheory& theory, const RunTheoryOptions& options,
                            std::size_t ranking, std::size_t head, std::size_t size) {
  const HeadFit& fit = theory.run.fits[head];
  const HeadTheory& at = theory.run.heads_of[ranking][head];
  if (size >= at.sizes.size()) return FitReason::too_few_tokens;
  const FitReason reason = assumption_reason(theory, options, ranking, head);
  if (reason != FitReason::estimated) return reason;
  if (options.head.weights == WeightSource::profile && !fit.profile.profile) {
    return fit.profile.reason;
  }
  if (at.sizes[size].set_size == 1) return FitReason::estimated;  // theory.md (9)
  return fit.residuals[ranking].sizes[size].reason;
}

void add_theory_variables(Dataset& heads, const PooledTheory& theory,
                          const RunTheoryOptions& options) {
  Attributes& attributes = heads.attributes();
  attributes["theory_weights"] = std::string(name_in(kWeightSourceNames, options.head.weights));
  attributes["theory_dimension"] =
      std::string(name_in(kEffectiveDimensionNames, options.dimension));
  attributes["theory_residuals"] = std::string(name_in(kResidualSourceNames, options.residuals));
  attributes["theory_draws"] = std::int64_t{options.head.envelope.draws};
  attributes["theory_envelope_documents"] = std::int64_t{options.head.envelope.documents};
  attributes["theory_seed"] = static_cast<std::int64_t>(options.seed);
  if (theory.shape.layout.set_sizes.empty() || theory.run.rankings.empty()) return;
  for (const SizeRow& row : size_rows()) {
    heads.add_variable(row.name, kBySize,
                       by_size(theory, [&](std::size_t, std::size_t, std::size_t,
                                           const TheoryAtSize& size) { return row.value(size); }),
                       with_reason("1", row.long_name, row.group));
  }
  heads.add_variable(
      "residual_sigma_effective", kBySize,
      by_size(theory,
              [&](std::size_t head, std::size_t r, std::size_t n, const TheoryAtSize&) {
                const HeadFit& fit = theory.run.fits[head];
                return fit.residuals[r].sizes[n].competitors.sigma *
                       std::sqrt(fit.values.effective_rank.mean /
                                 static_cast<double>(fit.head_dim));
              }),
      with_reason("1", "sigma_N with the values' effective rank for d: 1 would be isotropic",
                  "residual_effective"));

  const std::size_t sizes = theory.shape.layout.set_sizes.size();
  const auto add_reasons = [&](std::string_view group, const auto& reason) {
    std::vector<std::string> texts;
    for (std::size_t head = 0; head < theory.run.fits.size(); ++head) {
      for (std::size_t r = 0; r < theory.run.rankings.size(); ++r) {
        for (std::size_t n = 0; n < sizes; ++n) {
          texts.emplace_back(describe(reason(r, head, n)));
        }
      }
    }
    heads.add_variable(fmt::format("{}_reason", group), kBySize, std::move(texts),
                       {{"long_name", fmt::format("why not known: {}", group)}});
  };
  for (const std::string_view group : kGroups) {
    add_reasons(group, [&](std::size_t r, std::size_t head, std::size_t n) {
      return reason_of(group, theory, options, r, head, n);
    });
  }
  add_reasons("residual_effective", [&](std::size_t r, std::size_t head, std::size_t n) {
    const HeadFit& fit = theory.run.fits[head];
    const FitReason residual = fit.residuals[r].sizes[n].reason;
    return residual != FitReason::estimated ? residual : fit.values.effective_rank.reason;
  });

  for (const LimitRow& row : kLimits) {
    std::vector<double> values;
    std::vector<std::string> reasons;
    for (std::size_t head = 0; head < theory.run.fits.size(); ++head) {
      for (std::size_t r = 0; r < theory.run.rankings.size(); ++r) {
        const Limit limit = limit_of(row, theory, options, r, head);
        values.push_back(limit.size);
        reasons.emplace_back(describe(limit.reason));
      }
    }
    heads.add_variable(std::string(row.name), kByRanking, std::move(values),
                       with_reason("tokens", row.long_name, row.name));
    heads.add_variable(fmt::format("{}_reason", row.name), kByRanking, std::move(reasons),
                       {{"long_name", fmt::format("why not known: {}", row.name)}});
  }

  std::vector<std::string> coverage_reasons;
  for (std::size_t head = 0; head < theory.run.fits.size(); ++head) {
    for (std::size_t r = 0; r < theory.run.rankings.size(); ++r) {
      coverage_reasons.emplace_back(describe(head_reason(theory, options, r, head)));
    }
  }
  heads.add_variable("coverage_reason", kByRanking, std::move(coverage_reasons),
                     {{"long_name", "why coverage, error and width are not known"}});
  for (const auto& [metric, metric_name] : kMetricNames) {
    std::vector<HeadCoverage> coverage;
    for (std::size_t head = 0; head < theory.run.fits.size(); ++head) {
      for (std::size_t r = 0; r < theory.run.rankings.size(); ++r) {
        coverage.push_back(coverage_of(theory.run.heads_of[r][head], metric));
      }
    }
    for (const CoverageRow& row : kCoverageRows) {
      std::vector<double> values;
      for (const HeadCoverage& head : coverage) values.push_back(head.*row.value);
      heads.add_variable(
          fmt::format("{}_{}", row.name, metric_name), kByRanking, std::move(values),
          with_reason("1", fmt::format("{}: {}", title(metric), row.long_name), "coverage"));
    }
  }
}

void add_theory_columns(HeadTable& table, const PooledTheory& theory,
                        const RunTheoryOptions& options) {
  for (std::size_t r = 0; r < theory.run.rankings.size(); ++r) {
    if (!has_prediction(theory.run.rankings[r])) continue;
    const std::vector<HeadTheory>& heads = theory.run.heads_of[r];
    for (const LimitRow& row : kLimits) {
      std::vector<double> values;
      std::vector<std::string> reasons;
      for (std::size_t head = 0; head < heads.size(); ++head) {
        const Limit limit = limit_of(row, theory, options, r, head);
        values.push_back(limit.size);
        reasons.emplace_back(describe(limit.reason));
      }
      table.add_column(std::string(row.name), std::move(values));
      table.add_column(fmt::format("{}_reason", row.name), std::move(reasons));
    }
    std::vector<std::string> coverage_reasons;
    for (std::size_t head = 0; head < heads.size(); ++head) {
      coverage_reasons.emplace_back(describe(head_reason(theory, options, r, head)));
    }
    table.add_column("coverage_reason", std::move(coverage_reasons));
    for (const CoverageRow& row : kCoverageRows) {
      std::vector<double> values;
      for (const HeadTheory& head : heads) {
        values.push_back(coverage_of(head, Metric::f_score).*row.value);
      }
      table.add_column(fmt::format("{}_f_score", row.name), std::move(values));
    }
    const std::string ranking(name(theory.run.rankings[r]));
    for (std::size_t n = 0; n < theory.shape.layout.set_sizes.size(); ++n) {
      const std::string suffix = fmt::format("_{}_{}", ranking, theory.shape.layout.set_sizes[n]);
      for (const std::string_view bound : {"measured", "lower", "predicted", "upper"}) {
        const std::string wanted = fmt::format("{}_f_score", bound);
        for (const SizeRow& row : size_rows()) {
          if (row.name != wanted) continue;
          std::vector<double> values;
          for (const HeadTheory& head : heads) {
            values.push_back(n < head.sizes.size() ? row.value(head.sizes[n]) : kNan);
          }
          table.add_column(wanted + suffix, std::move(values));
        }
      }
      std::vector<std::string> reasons;
      for (std::size_t head = 0; head < heads.size(); ++head) {
        reasons.emplace_back(describe(prediction_reason(theory, options, r, head, n)));
      }
      table.add_column("prediction_reason" + suffix, std::move(reasons));
    }
    return;
  }
}

}  // namespace toplens
