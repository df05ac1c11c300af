#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <tuple>

#include <fmt/format.h>

#include "report/figure.h"
#include "report/words.h"

namespace toplens {
namespace {

const std::vector<std::string> kByEvaluation = {"evaluation"};
constexpr std::array<double, 3> kTolerances = {0.01, 0.05, 0.10};  // theory.md (32)

/// One evaluation of the whole model: a row of interventions.csv.
struct Loss {
  int set_size = 0;
  double nll = 0.0;  ///< mean over documents
  double change = 0.0, low = 0.0, high = 0.0;
};

/// Evaluations of the whole model under one treatment, by increasing N.
struct LossCurve {
  std::string treatment;  ///< "attention, delete, L = 512"
  int context_length = 0;
  std::vector<Loss> losses;
  double untreated = std::nan("");
};

std::vector<LossCurve> loss_curves(const Dataset& dataset) {
  const auto rankings = dataset.values<std::string>("ranking", kByEvaluation);
  const auto rules = dataset.values<std::string>("rule", kByEvaluation);
  const auto scopes = dataset.values<std::string>("scope", kByEvaluation);
  const auto sizes = dataset.values<std::int32_t>("set_size", kByEvaluation);
  const auto lengths = dataset.values<std::int32_t>("context_length", kByEvaluation);
  const auto nll = dataset.values<double>("nll_nats_per_token", {"evaluation", "document"});
  const auto change = dataset.values<double>("relative_change", kByEvaluation);
  const auto low = dataset.values<double>("relative_change_low", kByEvaluation);
  const auto high = dataset.values<double>("relative_change_high", kByEvaluation);
  const std::size_t documents = dataset.dimension_size("document");
  std::map<int, double> untreated;
  std::map<std::string, LossCurve> curves;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    double mean = 0.0;
    for (const double loss : nll.subspan(i * documents, documents)) mean += loss;
    mean /= static_cast<double>(documents);
    if (rankings[i].empty()) untreated[lengths[i]] = mean;
    if (rankings[i].empty() || scopes[i] != "model") continue;
    const std::string treatment = fmt::format("{}, {}, L = {}", rankings[i], rules[i], lengths[i]);
    LossCurve& curve = curves[treatment];
    curve.treatment = treatment;
    curve.context_length = lengths[i];
    curve.losses.push_back({sizes[i], mean, change[i], low[i], high[i]});
  }
  std::vector<LossCurve> sorted;
  for (auto& [treatment, curve] : curves) {
    std::sort(curve.losses.begin(), curve.losses.end(),
              [](const Loss& a, const Loss& b) { return a.set_size < b.set_size; });
    if (const auto found = untreated.find(curve.context_length); found != untreated.end()) {
      curve.untreated = found->second;
    }
    sorted.push_back(std::move(curve));
  }
  return sorted;
}

/// N* of the sizes evaluated; none where no size is within the tolerance.
const Loss* needed(const LossCurve& curve, double tolerance) {
  for (const Loss& loss : curve.losses) {
    if (loss.change <= tolerance) return &loss;
  }
  return nullptr;
}

std::string loss_finding(const std::vector<LossCurve>& curves) {
  std::vector<std::string> parts;
  for (const LossCurve& curve : curves) {
    const Loss* loss = needed(curve, 0.05);
    parts.push_back(fmt::format("{}: {}", curve.treatment,
                                loss ? fmt::format("{}", loss->set_size)
                                     : fmt::format("more than {}", curve.losses.back().set_size)));
  }
  return fmt::format("Tokens needed for a loss within 5 % of the untreated model's, N*: {}",
                     fmt::join(parts, "; "));
}

PageJson number_or_null(double value) {
  return std::isnan(value) ? PageJson(nullptr) : PageJson(value);
}

/// A number of budget.json; NaN where it is null or absent.
double number_at(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : std::nan("");
}

std::string text_at(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

FigureOrReason loss_figure(const ReportRun& run) {
  if (!run.results.interventions) {
    return std::string("interventions.nc is not there: intervene --out RUN_DIR writes it");
  }
  const std::vector<LossCurve> curves = loss_curves(*run.results.interventions);
  if (curves.empty()) {
    return std::string("interventions.nc holds no treatment of the whole model (scope model)");
  }
  std::vector<std::string> names = {"treatment",
                                    "set_size",
                                    "nll",
                                    "relative_change",
                                    "relative_change_low",
                                    "relative_change_high",
                                    "untreated"};
  std::map<std::string, PageJson> columns;
  for (const std::string& name : names) columns[name] = PageJson::array();
  PageJson treatment = PageJson::array(), set_size = PageJson::array(),
           tolerance = PageJson::array(), nll = PageJson::array();
  for (const LossCurve& curve : curves) {
    for (const Loss& loss : curve.losses) {
      columns["treatment"].push_back(curve.treatment);
      columns["set_size"].push_back(loss.set_size);
      columns["nll"].push_back(number_or_null(loss.nll));
      columns["relative_change"].push_back(number_or_null(loss.change));
      columns["relative_change_low"].push_back(number_or_null(loss.low));
      columns["relative_change_high"].push_back(number_or_null(loss.high));
      columns["untreated"].push_back(number_or_null(curve.untreated));
    }
    for (const double allowed : kTolerances) {
      const Loss* loss = needed(curve, allowed);
      if (loss == nullptr) continue;
      treatment.push_back(curve.treatment);
      set_size.push_back(loss->set_size);
      tolerance.push_back(percent_text(allowed));
      nll.push_back(number_or_null(loss->nll));
    }
  }
  Figure figure;
  figure.finding = text(loss_finding(curves));
  figure.documents = count_text(run.results.interventions->dimension_size("document"), "document");
  figure.note =
      text("Marked: N*, the smallest evaluated N within 1, 5 and 10 % of the untreated loss.");
  figure.alt =
      "Mean loss in nats per token against the number of tokens kept in every head, one "
      "line for each treatment, with the untreated model's loss";
  PageTable table(PageKey::none, columns["nll"].size());
  for (const std::string& name : names) table.values(name, columns[name]);
  figure.tables.emplace_back("losses", table);
  PageTable marks(PageKey::none, nll.size());
  marks.values("treatment", treatment).values("set_size", set_size);
  marks.values("tolerance", tolerance).values("nll", nll);
  figure.tables.emplace_back("needed", marks);
  return figure;
}

FigureOrReason budget_figure(const ReportRun& run) {
  if (!run.results.budget) {
    return std::string("budget.json is not there: budget --out RUN_DIR writes it");
  }
  const nlohmann::json& budget = *run.results.budget;
  if (!budget.is_object() || !budget.contains("budgets") || !budget["budgets"].is_array() ||
      budget["budgets"].empty()) {
    return std::string("budget.json holds no budgets");
  }
  PageJson allocation = PageJson::array(), kind = PageJson::array();
  std::vector<double> kept, loss, low, high;
  const auto add = [&](const std::string& name, const char* what, const nlohmann::json& tokens) {
    allocation.push_back(name);
    kind.push_back(what);
    kept.push_back(number_at(tokens, "total_kept_tokens"));
    loss.push_back(number_at(tokens, "verified_change"));
    low.push_back(number_at(tokens, "verified_change_low"));
    high.push_back(number_at(tokens, "verified_change_high"));
  };
  const std::string smallest = text_at(budget, "smallest");
  double smallest_kept = std::nan("");
  for (const nlohmann::json& one : budget["budgets"]) {
    add(text_at(one, "allocation"), "budget per head", one);
    if (text_at(one, "allocation") == smallest) smallest_kept = kept.back();
    if (one.contains("uniform_at_equal_total")) {
      add(text_at(one, "allocation"), "uniform N, equal total", one["uniform_at_equal_total"]);
    }
  }
  double uniform = std::nan("");
  if (budget.contains("uniform_at_equal_loss")) {
    add("uniform N*", "uniform N, equal loss", budget["uniform_at_equal_loss"]);
    uniform = kept.back();
  }
  Figure figure;
  figure.finding = text(
      std::isnan(uniform) || std::isnan(smallest_kept)
          ? std::string("Budgets per head beside uniform ones")
      : smallest_kept < uniform
          ? fmt::format("The {} budget keeps {} of the tokens that a uniform N* keeps, within {}",
                        smallest, percent_text(smallest_kept / uniform),
                        percent_text(number_at(budget, "tolerance")))
          : fmt::format("No budget per head keeps fewer tokens than the uniform N* within {}",
                        percent_text(number_at(budget, "tolerance"))));
  figure.documents = fmt::format("{} to choose, {} to verify (documents)",
                                 number_text(number_at(budget, "calibration_documents")),
                                 number_text(number_at(budget, "verification_documents")));
  figure.note = text(fmt::format("Losses as verified on {}.", text_at(budget, "verification")));
  figure.alt = "Tokens kept over all heads against the verified loss increase, by allocation rule";
  PageTable table(PageKey::none, kept.size());
  table.values("allocation", allocation)
      .values("kind", kind)
      .column("kept_tokens", std::span<const double>(kept));
  table.column("verified_change", std::span<const double>(loss))
      .column("low", std::span<const double>(low))
      .column("high", std::span<const double>(high));
  figure.tables.emplace_back("budgets", table);
  return figure;
}

}  // namespace toplens
