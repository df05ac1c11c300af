#include "results/fits_dataset.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <functional>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

namespace toplens {
namespace {

/// Why the figures of a group are NaN.
template <typename Fit>
struct ReasonRow {
  std::string_view name;  ///< of the group
  std::function<FitReason(const Fit&)> reason;
  std::string_view long_name;
};

template <typename Fit>
struct FigureRow {
  std::string name;
  std::string group;  ///< whose reason says why it is NaN
  std::string units;
  std::function<double(const Fit&)> value;
  std::string long_name;
  bool in_table = false;  ///< a column of heads.csv
};

using F = HeadFit;
using E = ResidualEstimate;

const std::vector<ReasonRow<F>>& head_reasons() {
  static const std::vector<ReasonRow<F>> kRows = {
      {"norm", [](const F& f) { return f.values.norms.reason; }, "norms of the values"},
      {"sink_norm", [](const F& f) { return f.values.norms.sink_reason; },
       "norm of the sink's value"},
      {"similarity", [](const F& f) { return f.values.similarity.reason; },
       "similarity of the values"},
      {"decay", [](const F& f) { return f.values.similarity.decay_reason; },
       "decay of the similarity; empty where it is present"},
      {"decay_fit",
       [](const F& f) {
         const SimilarityFit& fit = f.values.similarity;
         return std::isnan(fit.length) ? fit.decay_reason : FitReason::estimated;
       },
       "best exponential, whether a decay is present or not"},
      {"fitted_sink_similarity", [](const F& f) { return f.values.sink_similarity.reason; },
       "similarity of the sink's value"},
      {"effective_rank", [](const F& f) { return f.values.effective_rank.reason; },
       "effective rank of the values"},
      {"near_duplicates",
       [](const F& f) {
         return std::isnan(f.near_duplicates()) ? f.values.similarity.reason == FitReason::estimated
                                                      ? FitReason::too_few_tokens
                                                      : f.values.similarity.reason
                                                : FitReason::estimated;
       },
       "near-duplicates"},
      {"profile", [](const F& f) { return f.profile.reason; }, "attention profile"},
      {"profile_sink", [](const F& f) { return f.profile.sink.reason; }, "sink spike"},
      {"plateau", [](const F& f) { return f.profile.plateau.reason; }, "plateau"},
      {"oscillation", [](const F& f) { return f.profile.oscillation.reason; },
       "oscillation; empty where it is present"},
      {"recency", [](const F& f) { return f.profile.recency.reason; },
       "recency; empty where it is present"},
  };
  return kRows;
}

void add_value_figures(std::vector<FigureRow<F>>& rows) {
  const auto norms = [&](std::string_view name, std::string_view group, double NormFit::*member,
                         std::string_view long_name, bool in_table = false) {
    rows.push_back({std::string(name), std::string(group), "1",
                    [member](const F& f) { return f.values.norms.*member; }, std::string(long_name),
                    in_table});
  };
  norms("norm_mean", "norm", &NormFit::mean_norm, "mean norm of the values c, without token 0",
        true);
  norms("norm_mean_error", "norm", &NormFit::mean_norm_error, "standard error of c over documents");
  norms("norm_mean_between", "norm", &NormFit::mean_norm_spread,
        "standard deviation of c between documents");
  norms("norm_spread", "norm", &NormFit::spread, "standard deviation of the norms over c, delta",
        true);
  norms("norm_spread_between", "norm", &NormFit::spread_between,
        "standard deviation of delta between documents");
  norms("norm_quantile_05", "norm", &NormFit::quantile_05, "5% quantile of the norms over c");
  norms("norm_quantile_95", "norm", &NormFit::quantile_95, "95% quantile of the norms over c");
  norms("sink_norm_ratio", "sink_norm", &NormFit::sink_ratio, "norm of the sink over c, kappa",
        true);
  norms("sink_norm_ratio_between", "sink_norm", &NormFit::sink_ratio_spread,
        "standard deviation of kappa between documents");
  norms("sink_norm_ratio_upper", "sink_norm", &NormFit::sink_ratio_upper,
        "upper end of the 95% interval of kappa");

  const auto similarity = [&](std::string_view name, std::string_view group,
                              double SimilarityFit::*member, std::string_view units,
                              std::string_view long_name, bool in_table = false) {
    rows.push_back({std::string(name), std::string(group), std::string(units),
                    [member](const F& f) { return f.values.similarity.*member; },
                    std::string(long_name), in_table});
  };
  rows.push_back({"similarity_constant", "similarity", "1",
                  [](const F& f) { return f.values.similarity.similarity.constant; },
                  "b of phi(k) = b + A exp(-k / lambda); the mean cosine where no decay is present",
                  true});
  rows.push_back({"similarity_amplitude", "similarity", "1",
                  [](const F& f) {
                    return f.values.similarity.reason == FitReason::estimated
                               ? f.values.similarity.similarity.amplitude
                               : kNotEstimable;
                  },
                  "A of phi; 0 where no decay is present", true});
  rows.push_back({"similarity_length", "decay", "tokens",
                  [](const F& f) { return f.values.similarity.similarity.length; },
                  "lambda of phi where decay is present", true});
  similarity("decay_fit_constant", "decay_fit", &SimilarityFit::constant, "1",
             "b of the best exponential, present or not");
  similarity("decay_fit_amplitude", "decay_fit", &SimilarityFit::amplitude, "1",
             "A of the best exponential, present or not");
  similarity("decay_fit_length", "decay_fit", &SimilarityFit::length, "tokens",
             "lambda of the best exponential, present or not");
  similarity("decay_fit_constant_error", "decay_fit", &SimilarityFit::constant_error, "1",
             "bootstrap standard deviation of its b over documents");
  similarity("decay_fit_amplitude_error", "decay_fit", &SimilarityFit::amplitude_error, "1",
             "bootstrap standard deviation of its A over documents");
  similarity("decay_fit_log_length_error", "decay_fit", &SimilarityFit::log_length_error, "1",
             "bootstrap standard deviation of its log lambda over documents");
  similarity("decay_held_out_r_squared", "decay_fit", &SimilarityFit::held_out_r_squared, "1",
             "R^2 against the constant, fitted on odd and scored on even documents");
  similarity("similarity_mae", "similarity", &SimilarityFit::mean_absolute_error, "1",
             "mean absolute error of phi on the pooled mean cosines by lag");
  similarity("similarity_r_squared", "similarity", &SimilarityFit::r_squared, "1",
             "R^2 of phi on the pooled mean cosines by lag");
  similarity("similarity_lag_1_between", "similarity", &SimilarityFit::first_lag_spread, "1",
             "standard deviation between documents of the mean cosine at lag 1");
  similarity("similarity_far_between", "similarity", &SimilarityFit::far_spread, "1",
             "standard deviation between documents of the mean cosine beyond lag K/2");

  const auto sink = [&](std::string_view name, double SinkSimilarityFit::*member,
                        std::string_view long_name, bool in_table = false) {
    rows.push_back({std::string(name), "fitted_sink_similarity", "1",
                    [member](const F& f) { return f.values.sink_similarity.*member; },
                    std::string(long_name), in_table});
  };
  sink("fitted_sink_similarity", &SinkSimilarityFit::mean,
       "mean cosine of the sink's value with the others, rho_0", true);
  sink("fitted_sink_similarity_error", &SinkSimilarityFit::error,
       "standard error of it over documents");
  sink("fitted_sink_similarity_between", &SinkSimilarityFit::spread,
       "standard deviation of it between documents");
  rows.push_back({"effective_rank", "effective_rank", "1",
                  [](const F& f) { return f.values.effective_rank.mean; },
                  "effective rank of the values, mean over the first 8 documents", true});
  rows.push_back({"effective_rank_between", "effective_rank", "1",
                  [](const F& f) { return f.values.effective_rank.spread; },
                  "standard deviation of it between documents"});
  rows.push_back({"sink_compressed", "sink_norm", "1",
                  [](const F& f) {
                    return f.values.norms.sink_reason != FitReason::estimated ? kNotEstimable
                           : f.values.norms.sink_compressed                   ? 1.0
                                                                              : 0.0;
                  },
                  "1 where the sink's norm is compressed by the rule of theory.md 3", true});
  rows.push_back({"similarity_applicable", "near_duplicates", "1",
                  [](const F& f) {
                    return std::isnan(f.near_duplicates()) ? kNotEstimable
                           : f.similarity_applicable()     ? 1.0
                                                           : 0.0;
                  },
                  "0 where more than 5% of the unselected have a near-duplicate: A2 not applicable",
                  true});
  rows.push_back({"near_duplicates", "near_duplicates", "1",
                  [](const F& f) { return f.near_duplicates(); },
                  "largest share over set sizes of unselected tokens with a near-duplicate among "
                  "the selected, first ranking; above 0.05 A2 is not applicable",
                  true});
}

void add_profile_figures(std::vector<FigureRow<F>>& rows) {
  struct Phase {
    std::string name, title;
    ProfilePhase ProfileFit::*phase;
  };
  struct Figure {
    std::string name, text;
    double ProfilePhase::*value;
  };
  const std::vector<Phase> phases = {
      {"profile_sink", "sink spike", &ProfileFit::sink},
      {"plateau", "plateau", &ProfileFit::plateau},
      {"oscillation", "oscillation", &ProfileFit::oscillation},
      {"recency", "recency", &ProfileFit::recency},
  };
  const std::vector<Figure> figures = {
      {"mass", "attention on it, mean over documents", &ProfilePhase::mass},
      {"mass_between", "standard deviation of the attention on it between documents",
       &ProfilePhase::mass_spread},
      {"residual_sd", "sd of the log-weights about the profile", &ProfilePhase::residual_sd},
      {"level_between",
       "sd between documents of the mean distance of their log-weights from the profile",
       &ProfilePhase::level_spread},
      {"mae", "mean absolute error of the mean log-weights", &ProfilePhase::mean_absolute_error},
      {"r_squared", "R^2 of the mean log-weights", &ProfilePhase::r_squared},
      {"held_out_gain", "share of the held-out squared error that it takes away",
       &ProfilePhase::held_out_gain},
  };
  for (const Phase& phase : phases) {
    const bool tested =
        phase.phase == &ProfileFit::oscillation || phase.phase == &ProfileFit::recency;
    for (const Figure& figure : figures) {
      if (figure.value == &ProfilePhase::held_out_gain && !tested) continue;
      // The signature of theory.md 8 has a recency mass of its own.
      const std::string prefix = phase.name == "recency" ? "profile_recency" : phase.name;
      rows.push_back({prefix + "_" + figure.name, phase.name, "1",
                      [member = phase.phase, value = figure.value](const F& f) {
                        return f.profile.*member.*value;
                      },
                      phase.title + ": " + figure.text});
    }
  }
  const auto parameter = [&](std::string_view name, ProfilePhase ProfileFit::*phase,
                             std::string_view group, std::string_view units, auto value,
                             std::string_view long_name, bool in_table = false) {
    rows.push_back({std::string(name), std::string(group), std::string(units),
                    [phase, value](const F& f) {
                      return (f.profile.*phase).present() && f.profile.profile
                                 ? static_cast<double>(value(*f.profile.profile))
                                 : kNotEstimable;
                    },
                    std::string(long_name), in_table});
  };
  using A = AttentionProfile;
  parameter(
      "profile_sink_log_weight", &ProfileFit::sink, "profile_sink", "1",
      [](const A& a) { return a.sink_log_weight; }, "mean log-weight of token 0");
  parameter(
      "plateau_log_weight", &ProfileFit::plateau, "plateau", "1",
      [](const A& a) { return a.plateau_log_weight; }, "p, log-weight of the plateau");
  parameter(
      "oscillation_start", &ProfileFit::oscillation, "oscillation", "tokens",
      [](const A& a) { return a.oscillation_start; }, "b1, from the first visible token");
  parameter(
      "oscillation_amplitude", &ProfileFit::oscillation, "oscillation", "1",
      [](const A& a) { return a.amplitude; }, "B, of the log-weight", true);
  parameter(
      "oscillation_period", &ProfileFit::oscillation, "oscillation", "tokens",
      [](const A& a) { return a.period; }, "T0", true);
  parameter(
      "oscillation_phase", &ProfileFit::oscillation, "oscillation", "radian",
      [](const A& a) { return a.phase; }, "psi");
  parameter(
      "recency_start", &ProfileFit::recency, "recency", "tokens",
      [](const A& a) { return a.recency_start; }, "b2, from the first visible token");
  parameter(
      "recency_log_weight", &ProfileFit::recency, "recency", "1",
      [](const A& a) { return a.recency_log_weight; }, "q, log-weight at the query");
  parameter(
      "recency_length", &ProfileFit::recency, "recency", "tokens",
      [](const A& a) { return a.recency_length; }, "mu", true);
  rows.push_back({"profile_residual_sd", "profile", "1",
                  [](const F& f) {
                    return f.profile.profile ? f.profile.profile->residual_sd : kNotEstimable;
                  },
                  "sd of the log-weights about the profile, without token 0"});
  rows.push_back({"profile_mae", "profile", "1",
                  [](const F& f) { return f.profile.mean_absolute_error; },
                  "mean absolute error of the mean log-weights by position"});
  rows.push_back({"profile_r_squared", "profile", "1",
                  [](const F& f) { return f.profile.r_squared; },
                  "R^2 of the mean log-weights by position", true});
  rows.push_back({"oscillation_p_value", "oscillation", "1",
                  [](const F& f) { return f.profile.oscillation_p_value; },
                  "Hotelling's T^2 of the Fourier coefficients of even documents"});
}

const std::vector<FigureRow<F>>& head_figures() {
  static const std::vector<FigureRow<F>> kRows = [] {
    std::vector<FigureRow<F>> rows;
    add_value_figures(rows);
    add_profile_figures(rows);
    return rows;
  }();
  return kRows;
}

struct CountRow {
  std::string_view name;
  std::function<std::int64_t(const F&)> value;
  std::string_view long_name;
};

const std::vector<CountRow>& head_counts() {
  const auto count = [](std::size_t n) { return static_cast<std::int64_t>(n); };
  static const std::vector<CountRow> kRows = {
      {"fit_documents", [=](const F& f) { return count(f.values.norms.documents); },
       "documents behind the fits"},
      {"norm_tokens", [=](const F& f) { return count(f.values.norms.tokens); },
       "value norms pooled"},
      {"norm_zeros", [=](const F& f) { return count(f.values.norms.zero_norms); },
       "of them zero; they have no cosine"},
      {"similarity_lags", [=](const F& f) { return count(f.values.similarity.lags); }, "lags K"},
      {"similarity_pairs", [=](const F& f) { return count(f.values.similarity.pairs); },
       "pairs of values behind the mean cosines by lag"},
      {"fitted_sink_similarity_documents",
       [=](const F& f) { return count(f.values.sink_similarity.documents); },
       "documents with a sink of positive norm"},
      {"profile_log_weights", [=](const F& f) { return count(f.profile.log_weights); },
       "log-weights behind the profile"},
      {"profile_zero_weights", [=](const F& f) { return count(f.profile.zero_weights); },
       "attention weights of 0, left out of the logarithms"},
  };
  return kRows;
}

const std::vector<ReasonRow<E>>& residual_reasons() {
  static const std::vector<ReasonRow<E>> kRows = {
      {"residual", [](const E& e) { return e.reason; }, "residuals of the competitors"},
      {"residual_sink", [](const E& e) { return e.sink_reason; }, "residuals of the sink"},
      {"near_duplicate_share",
       [](const E& e) { return std::isnan(e.near_duplicates) ? e.reason : FitReason::estimated; },
       "share of near-duplicates"},
  };
  return kRows;
}

const std::vector<FigureRow<E>>& residual_figures() {
  static const std::vector<FigureRow<E>> kRows = {
      {"residual_beta", "residual", "1", [](const E& e) { return e.competitors.beta; },
       "beta_N, mean residual cosine of the competitors", true},
      {"residual_sigma", "residual", "1", [](const E& e) { return e.competitors.sigma; },
       "sigma_N, their standard deviation times sqrt(d)", true},
      {"residual_beta_between", "residual", "1", [](const E& e) { return e.beta_spread; },
       "standard deviation of beta_N between documents"},
      {"residual_sigma_between", "residual", "1", [](const E& e) { return e.sigma_spread; },
       "standard deviation of sigma_N between documents"},
      {"residual_beta_all", "residual", "1", [](const E& e) { return e.all_unselected.beta; },
       "beta_N over all unselected tokens (32 a document, evenly spaced by rank)"},
      {"residual_sigma_all", "residual", "1", [](const E& e) { return e.all_unselected.sigma; },
       "sigma_N over all unselected tokens (32 a document, evenly spaced by rank)"},
      {"residual_sink_sigma", "residual_sink", "1",
       [](const E& e) { return e.competitors.sink_sigma; }, "sigma_0 of the sink"},
      {"near_duplicate_share", "near_duplicate_share", "1",
       [](const E& e) { return e.near_duplicates; },
       "share of unselected tokens with a near-duplicate among the selected"},
      {"near_duplicate_share_between", "near_duplicate_share", "1",
       [](const E& e) { return e.near_duplicates_spread; },
       "standard deviation of it between documents"},
  };
  return kRows;
}

struct ResidualCountRow {
  std::string_view name;
  std::size_t E::*value;
  std::string_view long_name;
};
constexpr ResidualCountRow kResidualCounts[] = {
    {"residual_competitors", &E::num_competitors, "competitors pooled over documents"},
    {"residual_zero_norms", &E::zero_norms, "competitors without a direction, left out"},
    {"residual_sinks_unselected", &E::sinks_unselected, "documents whose sink is not selected"},
    {"residual_sinks_selected", &E::sinks_selected, "documents whose sink is selected"},
};

std::vector<std::int32_t> count_from_zero(std::size_t count) {
  std::vector<std::int32_t> labels(count);
  std::iota(labels.begin(), labels.end(), 0);
  return labels;
}

std::string reason_name(std::string_view group) { return fmt::format("{}_reason", group); }

Attributes attributes_of(std::string_view units, std::string_view long_name,
                         std::string_view group) {
  Attributes attributes = describe(units, long_name);
  attributes["reason"] = reason_name(group);
  return attributes;
}

template <typename Fit, typename Items>
void add_rows(Dataset& dataset, const std::vector<std::string>& dimensions, const Items& items,
              const std::vector<ReasonRow<Fit>>& reasons,
              const std::vector<FigureRow<Fit>>& figures) {
  for (const FigureRow<Fit>& row : figures) {
    std::vector<double> values;
    for (const Fit* fit : items) values.push_back(row.value(*fit));
    dataset.add_variable(std::string(row.name), dimensions, std::move(values),
                         attributes_of(row.units, row.long_name, row.group));
  }
  for (const ReasonRow<Fit>& row : reasons) {
    std::vector<std::string> texts;
    for (const Fit* fit : items) texts.emplace_back(describe(row.reason(*fit)));
    dataset.add_variable(
        reason_name(row.name), dimensions, std::move(texts),
        {{"long_name", fmt::format("why not estimated or absent: {}", row.long_name)}});
  }
}

}  // namespace

Dataset make_heads_dataset(std::size_t layers, std::size_t heads) {
  Dataset dataset;
  dataset.add_coordinate("layer", count_from_zero(layers),
                         {{"long_name", "layer, counted from 0"}});
  dataset.add_coordinate("head", count_from_zero(heads),
                         {{"long_name", "query head, counted from 0"}});
  return dataset;
}

void add_fit_variables(Dataset& dataset, std::span<const HeadFit> fits,
                       const RecordedShape& shape) {
  assert(fits.size() == shape.layers * shape.heads);
  std::vector<const HeadFit*> heads;
  for (const HeadFit& fit : fits) heads.push_back(&fit);
  const std::vector<std::string> by_head = {"layer", "head"};
  add_rows(dataset, by_head, heads, head_reasons(), head_figures());
  for (const CountRow& row : head_counts()) {
    std::vector<std::int64_t> values;
    for (const HeadFit& fit : fits) values.push_back(row.value(fit));
    dataset.add_variable(std::string(row.name), by_head, std::move(values),
                         describe("1", row.long_name));
  }

  const AssumptionLayout& layout = shape.layout;
  if (layout.rankings.empty() || layout.set_sizes.empty()) return;
  std::vector<std::string> rankings;
  for (const Ranking ranking : layout.rankings) rankings.emplace_back(name(ranking));
  dataset.add_coordinate("ranking", std::move(rankings),
                         {{"long_name", "ranking of the tokens; of random ones the first"}});
  dataset.add_coordinate(
      "set_size", std::vector<std::int32_t>(layout.set_sizes.begin(), layout.set_sizes.end()),
      describe("tokens", "selected tokens N"));
  const std::vector<std::string> by_size = {"layer", "head", "ranking", "set_size"};
  std::vector<const ResidualEstimate*> estimates;
  for (const HeadFit& fit : fits) {
    for (const RankingResidualFit& ranking : fit.residuals) {
      for (const ResidualEstimate& estimate : ranking.sizes) estimates.push_back(&estimate);
    }
  }
  add_rows(dataset, by_size, estimates, residual_reasons(), residual_figures());
  for (const ResidualCountRow& row : kResidualCounts) {
    std::vector<std::int64_t> values;
    for (const ResidualEstimate* estimate : estimates) {
      values.push_back(static_cast<std::int64_t>(estimate->*row.value));
    }
    dataset.add_variable(std::string(row.name), by_size, std::move(values),
                         describe("1", row.long_name));
  }
}

void add_fit_columns(HeadTable& table, std::span<const HeadFit> fits) {
  assert(fits.size() == table.num_rows());
  std::vector<std::string> groups;
  for (const FigureRow<F>& row : head_figures()) {
    if (!row.in_table) continue;
    std::vector<double> values;
    for (const HeadFit& fit : fits) values.push_back(row.value(fit));
    table.add_column(std::string(row.name), std::move(values));
    if (std::find(groups.begin(), groups.end(), row.group) == groups.end()) {
      groups.push_back(row.group);
    }
  }
  for (const ReasonRow<F>& row : head_reasons()) {
    if (std::find(groups.begin(), groups.end(), row.name) == groups.end()) continue;
    std::vector<std::string> texts;
    for (const HeadFit& fit : fits) texts.emplace_back(describe(row.reason(fit)));
    table.add_column(reason_name(row.name), std::move(texts));
  }
  if (fits.empty() || fits.front().residuals.empty()) return;
  const RankingResidualFit& first = fits.front().residuals.front();
  for (std::size_t n = 0; n < first.sizes.size(); ++n) {
    const std::string suffix =
        fmt::format("_{}_{}", name(first.ranking), first.sizes[n].competitors.set_size);
    for (const FigureRow<E>& row : residual_figures()) {
      if (!row.in_table) continue;
      std::vector<double> values;
      for (const HeadFit& fit : fits) {
        values.push_back(row.value(fit.residuals.front().sizes[n]));
      }
      table.add_column(std::string(row.name) + suffix, std::move(values));
    }
    std::vector<std::string> texts;
    for (const HeadFit& fit : fits) {
      texts.emplace_back(describe(fit.residuals.front().sizes[n].reason));
    }
    table.add_column("residual_reason" + suffix, std::move(texts));
  }
}

}  // namespace toplens
