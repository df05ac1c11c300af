#include <cmath>
#include <limits>
#include <optional>

#include <fmt/format.h>

#include "report/figure.h"
#include "report/words.h"

namespace toplens {
namespace {

const std::vector<std::string> kNormDimensions = {"layer", "kv_head", "position"};
const std::vector<std::string> kLagDimensions = {"layer", "kv_head", "lag"};
const std::vector<std::string> kWeightDimensions = {"layer", "head", "position"};
const char* const kAbsent = "profiles.nc is not there: analyze writes it with --theory on";

std::vector<float> copy_of(const Dataset& dataset, const std::string& name,
                           const std::vector<std::string>& dimensions) {
  const std::span<const float> values = dataset.values<float>(name, dimensions);
  return {values.begin(), values.end()};
}

PageJson bin_edges(const Dataset& profiles, const std::string& name) {
  const auto values = profiles.values<std::int64_t>(name, {"position"});
  return PageJson(std::vector<std::int64_t>(values.begin(), values.end()));
}

PageJson centres(const Dataset& profiles, const std::string& name) {
  const auto values = profiles.labels<double>(name);
  return PageJson(std::vector<double>(values.begin(), values.end()));
}

/// Of a variable of heads.nc at one head; NaN where there is none.
class HeadValues {
 public:
  HeadValues(const ReportRun& run, std::string_view variable)
      : values_(head_numbers(run.results, variable)) {}
  double operator[](std::size_t head) const { return values_ ? (*values_)[head] : std::nan(""); }

 private:
  std::optional<std::vector<double>> values_;
};

class HeadReasons {
 public:
  HeadReasons(const ReportRun& run, std::string_view variable)
      : texts_(head_texts(run.results, variable)) {}
  std::string operator[](std::size_t head) const { return texts_ ? (*texts_)[head] : ""; }

 private:
  std::optional<std::vector<std::string>> texts_;
};

std::size_t heads_per_kv_head(const ReportRun& run) {
  return run.results.query_heads / run.results.profiles->dimension_size("kv_head");
}

std::string documents_text(const ReportRun& run) {
  return count_text(run.results.documents, "document");
}

}  // namespace

FigureOrReason norm_figure(const ReportRun& run) {
  if (!run.results.profiles) return std::string(kAbsent);
  const Dataset& profiles = *run.results.profiles;
  const HeadValues mean(run, "norm_mean"), spread(run, "norm_spread"),
      ratio(run, "sink_norm_ratio");
  const HeadReasons reason(run, "norm_reason");
  std::vector<std::string> findings;
  for (std::size_t head = 0; head < run.results.num_heads(); ++head) {
    const std::string name = run.results.head_name(head);
    if (std::isnan(mean[head])) {
      findings.push_back(fmt::format("Head {}: norms {}", name, reason[head]));
      continue;
    }
    findings.push_back(fmt::format(
        "Head {}: the norms vary by {} of their mean{}", name, percent_text(spread[head]),
        std::isnan(ratio[head])
            ? ""
            : fmt::format("; the sink has {} of it, {}", percent_text(ratio[head]),
                          ratio[head] < 1 ? "compressed" : "not compressed")));
  }
  Figure figure;
  figure.finding = keyed_texts(PageKey::head, findings);
  figure.alt = "Norm of the value vectors by position, mean over " + documents_text(run) +
               " with twice its standard error; token 0, the sink, is a point of its own";
  PageTable table(PageKey::head, profiles.dimension_size("position"), heads_per_kv_head(run));
  table.fixed("position", centres(profiles, "position"));
  table.fixed("position_begin", bin_edges(profiles, "position_begin"));
  const std::vector<float> norms = copy_of(profiles, "value_norm", kNormDimensions);
  std::vector<float> low = copy_of(profiles, "value_norm_between", kNormDimensions), high = low;
  const float root = std::sqrt(static_cast<float>(run.results.documents));
  for (std::size_t i = 0; i < norms.size(); ++i) {
    const float error = 2.0f * low[i] / root;
    low[i] = norms[i] - error;
    high[i] = norms[i] + error;
  }
  table.column("norm", std::span<const float>(norms));
  table.column("low", std::span<const float>(low)).column("high", std::span<const float>(high));
  figure.tables.emplace_back("norms", table);
  return figure;
}

FigureOrReason similarity_figure(const ReportRun& run) {
  if (!run.results.profiles) return std::string(kAbsent);
  const Dataset& profiles = *run.results.profiles;
  if (!profiles.has_dimension("lag")) {
    return std::string("the documents are too short for lags of similarity");
  }
  const HeadValues constant(run, "similarity_constant"), amplitude(run, "similarity_amplitude"),
      length(run, "similarity_length"), error(run, "similarity_mae");
  const HeadReasons reason(run, "similarity_reason"), decay(run, "decay_reason");
  std::vector<std::string> findings;
  for (std::size_t head = 0; head < run.results.num_heads(); ++head) {
    const std::string name = run.results.head_name(head);
    if (std::isnan(constant[head])) {
      findings.push_back(fmt::format("Head {}: similarity {}", name, reason[head]));
    } else if (std::isnan(length[head])) {
      findings.push_back(fmt::format("Head {}: mean similarity {}; {}", name,
                                     number_text(constant[head]), decay[head]));
    } else {
      findings.push_back(fmt::format(
          "Head {}: similarity decays from {} to {} with length {} tokens (error {})", name,
          number_text(constant[head] + amplitude[head] * std::exp(-1.0 / length[head])),
          number_text(constant[head]), number_text(length[head]), number_text(error[head])));
    }
  }
  Figure figure;
  figure.finding = keyed_texts(PageKey::head, findings);
  figure.alt = "Mean cosine of two tokens' values by their distance, mean over " +
               documents_text(run) + ", with the fitted decay";
  PageTable table(PageKey::head, profiles.dimension_size("lag"), heads_per_kv_head(run));
  table.fixed("lag", centres(profiles, "lag"));
  table.column("similarity", profiles.values<float>("similarity", kLagDimensions));
  table.column("fit", profiles.values<float>("similarity_fit", kLagDimensions));
  figure.tables.emplace_back("similarity", table);
  return figure;
}

FigureOrReason profile_figure(const ReportRun& run) {
  if (!run.results.profiles) return std::string(kAbsent);
  const Dataset& profiles = *run.results.profiles;
  const HeadValues sink(run, "profile_sink_mass"), plateau(run, "plateau_mass"),
      oscillation(run, "oscillation_mass"),
      recency(run, run.results.heads && run.results.heads->has_variable("profile_recency_mass")
                       ? "profile_recency_mass"
                       : "recency_mass"),  // its name before the signature had a recency mass
      period(run, "oscillation_period"), r_squared(run, "profile_r_squared");
  const HeadReasons reason(run, "profile_reason");
  std::vector<std::string> findings;
  for (std::size_t head = 0; head < run.results.num_heads(); ++head) {
    std::vector<std::string> parts;
    const auto add = [&](double mass, std::string_view phase) {
      if (!std::isnan(mass)) parts.push_back(fmt::format("{} {}", phase, percent_text(mass)));
    };
    add(sink[head], "sink");
    add(plateau[head], "plateau");
    add(oscillation[head], std::isnan(period[head]) ? "oscillation"
                                                    : fmt::format("oscillation (period {} tokens)",
                                                                  number_text(period[head])));
    add(recency[head], "recency");
    const std::string name = run.results.head_name(head);
    if (parts.empty()) {
      findings.push_back(fmt::format("Head {}: attention profile {}", name, reason[head]));
    } else {
      findings.push_back(fmt::format("Head {}: attention on {} (R² {})", name, list_text(parts),
                                     number_text(r_squared[head])));
    }
  }
  Figure figure;
  figure.finding = keyed_texts(PageKey::head, findings);
  figure.alt = "Attention weight of the final query by position on a logarithmic axis, mean over " +
               documents_text(run) +
               ", with the fitted profile: sink, plateau, oscillation, recency";
  PageTable table(PageKey::head, profiles.dimension_size("position"));
  table.fixed("position", centres(profiles, "position"));
  std::vector<float> logs = copy_of(profiles, "log_attention", kWeightDimensions),
                     fits = copy_of(profiles, "log_attention_fit", kWeightDimensions);
  for (std::vector<float>* values : {&logs, &fits}) {
    for (float& value : *values) {
      value = std::exp(value);
      if (value == 0.0f)
        value = std::numeric_limits<float>::quiet_NaN();  // has no place on the axis
    }
  }
  table.column("weight", std::span<const float>(logs));
  table.column("fit", std::span<const float>(fits));
  table.column("mean_weight", profiles.values<float>("attention", kWeightDimensions));
  figure.tables.emplace_back("profile", table);
  return figure;
}

}  // namespace toplens
