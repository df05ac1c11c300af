#include "results/intervention_results.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "intervention/loss_change.h"
#include "results/csv_table.h"

namespace toplens {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// Columns of one value for each record.
template <typename Record>
class Columns {
 public:
  explicit Columns(const std::vector<Record>& records) : records_(records) {}
  template <typename T, typename Function>
  std::vector<T> of(const Function& value) const {
    std::vector<T> values;
    for (const Record& record : records_) values.push_back(value(record));
    return values;
  }

 private:
  const std::vector<Record>& records_;
};

std::string scored(const LossProtocol& protocol) {
  return protocol.score_tail > 0 ? fmt::format("last {}", protocol.score_tail) : "all";
}

std::string bos(const LossProtocol& protocol) {
  return protocol.has_bos ? "each window" : "none added";
}

/// An index of the scope, empty where it has none.
std::string layer_of(const Scope& scope) {
  return scope.kind == Scope::Kind::model ? "" : std::to_string(scope.head.layer);
}
std::string head_of(const Scope& scope) {
  return scope.kind == Scope::Kind::head ? std::to_string(scope.head.query_head) : "";
}

double low(const std::optional<Interval>& interval) { return interval ? interval->low : kNan; }
double high(const std::optional<Interval>& interval) { return interval ? interval->high : kNan; }

std::vector<std::int32_t> count_from_zero(int count) {
  std::vector<std::int32_t> labels(static_cast<std::size_t>(count));
  std::iota(labels.begin(), labels.end(), 0);
  return labels;
}

using Record = InterventionRecord;

std::string ranking_of(const Record& r) {
  return r.treatment ? std::string(name(r.treatment->intervention.ranking)) : "";
}
std::string rule_of(const Record& r) {
  return r.treatment ? std::string(name(r.treatment->intervention.rule)) : "";
}
std::string scope_of(const Record& r) {
  return r.treatment ? name(r.treatment->intervention.scope) : "";
}

/// The layer x head (or layer) tables of a scan, one for each ranking, rule, size and length.
void add_scan(const InterventionResults& results, Dataset& dataset) {
  const bool heads = results.scan == Scan::heads;
  const std::size_t cells = static_cast<std::size_t>(results.num_layers) *
                            static_cast<std::size_t>(heads ? results.num_query_heads : 1);
  std::vector<std::string> labels;
  std::vector<double> change, lows, highs;
  for (const Record& record : results.records) {
    if (!record.treatment) continue;
    const SizedIntervention& treated = *record.treatment;
    const std::string label =
        fmt::format("{}/{}/N={}/L={}", name(treated.intervention.ranking),
                    name(treated.intervention.rule), treated.set_size, record.context_length);
    const auto found = std::find(labels.begin(), labels.end(), label);
    const auto table = static_cast<std::size_t>(found - labels.begin());
    if (found == labels.end()) {
      labels.push_back(label);
      for (auto* values : {&change, &lows, &highs}) values->resize(labels.size() * cells, kNan);
    }
    const HeadId head = treated.intervention.scope.head;
    const std::size_t cell =
        table * cells +
        static_cast<std::size_t>(heads ? head.layer * results.num_query_heads + head.query_head
                                       : head.layer);
    change[cell] = record.relative_change;
    lows[cell] = low(record.interval);
    highs[cell] = high(record.interval);
  }
  std::vector<std::string> dimensions = {"scan", "layer_index"};
  if (heads) dimensions.emplace_back("head_index");
  dataset.add_coordinate("scan", labels, {{"long_name", "ranking/rule/set size/context length"}});
  dataset.add_coordinate("layer_index", count_from_zero(results.num_layers),
                         {{"long_name", "treated layer, counted from 0"}});
  if (heads) {
    dataset.add_coordinate("head_index", count_from_zero(results.num_query_heads),
                           {{"long_name", "treated query head, counted from 0"}});
  }
  dataset.add_variable(
      "scan_relative_change", dimensions, std::move(change),
      describe("1", "relative change of the NLL where this layer or head alone is treated"));
  dataset.add_variable("scan_relative_change_low", dimensions, std::move(lows),
                       describe("1", "lower end of its 95% bootstrap interval over documents"));
  dataset.add_variable("scan_relative_change_high", dimensions, std::move(highs),
                       describe("1", "upper end of its 95% bootstrap interval over documents"));
}

}  // namespace

std::string interval_reason(const std::optional<Interval>& interval) {
  return interval ? "" : "one document has no spread";
}

void append_results(const Experiment& experiment, std::span<const Intervention> interventions,
                    std::span<const NeededSize> needed, int context_length, std::uint64_t seed,
                    InterventionResults& results) {
  const std::span<const double> untreated = experiment.untreated();
  const LossBootstrap bootstrap(untreated.size(), seed);
  Record record;
  record.context_length = context_length;
  record.document_nll.assign(untreated.begin(), untreated.end());
  record.interval = bootstrap.change_interval(untreated, untreated);
  results.records.push_back(record);
  for (const Intervention& intervention : interventions) {
    for (const int size : experiment.evaluated_sizes(intervention)) {
      const std::span<const double> losses = experiment.losses(intervention, size);
      record.treatment = SizedIntervention{intervention, size};
      record.document_nll.assign(losses.begin(), losses.end());
      record.relative_change = experiment.change(intervention, size);
      record.interval = bootstrap.change_interval(losses, untreated);
      record.rows_without_mass = experiment.rows_without_mass(intervention, size);
      results.records.push_back(record);
    }
  }
  for (const NeededSize& one : needed) {
    NeededSizeRecord found;
    found.needed = one;
    found.context_length = context_length;
    if (one.set_size < context_length) {
      found.relative_change = experiment.change(one.intervention, one.set_size);
    }
    std::map<int, std::span<const double>> evaluated;
    for (const int size : one.visited) {
      evaluated[size] = experiment.losses(one.intervention, size);
    }
    found.interval =
        bootstrap.needed_size_interval(evaluated, untreated, context_length, one.tolerance);
    results.needed_sizes.push_back(std::move(found));
  }
}

std::string interventions_csv(const InterventionResults& results) {
  const LossProtocol& protocol = results.protocol;
  const Columns<Record> columns(results.records);
  const auto scope = [](const Record& r) {
    return r.treatment ? r.treatment->intervention.scope : Scope::model();
  };
  CsvTable table(results.records.size());
  table.add_column("ranking", columns.of<std::string>(ranking_of));
  table.add_column("rule", columns.of<std::string>(rule_of));
  table.add_column("scope", columns.of<std::string>(scope_of));
  table.add_column("layer",
                   columns.of<std::string>([&](const Record& r) { return layer_of(scope(r)); }));
  table.add_column("head",
                   columns.of<std::string>([&](const Record& r) { return head_of(scope(r)); }));
  table.add_column("set_size", columns.of<std::string>([](const Record& r) {
    return r.treatment ? std::to_string(r.treatment->set_size) : "";
  }));
  table.add_column("context_length",
                   columns.of<std::int32_t>([](const Record& r) { return r.context_length; }));
  table.add_column("bos", columns.of<std::string>([&](const Record&) { return bos(protocol); }));
  table.add_column("scored_targets",
                   columns.of<std::string>([&](const Record&) { return scored(protocol); }));
  table.add_column("documents", columns.of<std::int64_t>([](const Record& r) {
    return static_cast<std::int64_t>(r.document_nll.size());
  }));
  table.add_column("num_targets", columns.of<std::int64_t>([&](const Record& r) {
    return static_cast<std::int64_t>(r.document_nll.size() *
                                     protocol.targets_per_window(r.context_length));
  }));
  table.add_column("nll_nats_per_token",
                   columns.of<double>([](const Record& r) { return mean_nll(r.document_nll); }));
  table.add_column("perplexity", columns.of<double>([](const Record& r) {
    return std::exp(mean_nll(r.document_nll));
  }));
  table.add_column("relative_change",
                   columns.of<double>([](const Record& r) { return r.relative_change; }));
  table.add_column("relative_change_low",
                   columns.of<double>([](const Record& r) { return low(r.interval); }));
  table.add_column("relative_change_high",
                   columns.of<double>([](const Record& r) { return high(r.interval); }));
  table.add_column("interval_reason", columns.of<std::string>([](const Record& r) {
    return interval_reason(r.interval);
  }));
  table.add_column("rows_without_mass", columns.of<std::int64_t>([](const Record& r) {
    return static_cast<std::int64_t>(r.rows_without_mass);
  }));
  return table.to_csv();
}

std::string needed_sizes_csv(const InterventionResults& results) {
  using Needed = NeededSizeRecord;
  const LossProtocol& protocol = results.protocol;
  const Columns<Needed> columns(results.needed_sizes);
  CsvTable table(results.needed_sizes.size());
  table.add_column("ranking", columns.of<std::string>([](const Needed& r) {
    return std::string(name(r.needed.intervention.ranking));
  }));
  table.add_column("rule", columns.of<std::string>([](const Needed& r) {
    return std::string(name(r.needed.intervention.rule));
  }));
  table.add_column("scope", columns.of<std::string>(
                                [](const Needed& r) { return name(r.needed.intervention.scope); }));
  table.add_column("context_length",
                   columns.of<std::int32_t>([](const Needed& r) { return r.context_length; }));
  table.add_column("bos", columns.of<std::string>([&](const Needed&) { return bos(protocol); }));
  table.add_column("scored_targets",
                   columns.of<std::string>([&](const Needed&) { return scored(protocol); }));
  table.add_column("documents", columns.of<std::int64_t>([&](const Needed&) {
    return static_cast<std::int64_t>(results.documents.size());
  }));
  table.add_column("tolerance",
                   columns.of<double>([](const Needed& r) { return r.needed.tolerance; }));
  table.add_column("needed_size",
                   columns.of<std::int32_t>([](const Needed& r) { return r.needed.set_size; }));
  table.add_column("needed_size_low",
                   columns.of<double>([](const Needed& r) { return low(r.interval); }));
  table.add_column("needed_size_high",
                   columns.of<double>([](const Needed& r) { return high(r.interval); }));
  table.add_column("interval_reason", columns.of<std::string>([](const Needed& r) {
    return interval_reason(r.interval);
  }));
  table.add_column("relative_change",
                   columns.of<double>([](const Needed& r) { return r.relative_change; }));
  table.add_column("evaluated_sizes", columns.of<std::string>([](const Needed& r) {
    return fmt::format("{}", fmt::join(r.needed.visited, ";"));
  }));
  return table.to_csv();
}

Dataset make_interventions_dataset(const InterventionResults& results) {
  const std::vector<Record>& records = results.records;
  const Columns<Record> columns(records);
  const auto scope = [](const Record& r) {
    return r.treatment ? r.treatment->intervention.scope : Scope::model();
  };
  Dataset dataset;
  dataset.add_dimension("evaluation", records.size());
  dataset.add_coordinate("document", results.documents, {{"long_name", "document@first token"}});
  const std::vector<std::string> by_evaluation = {"evaluation"};
  const auto add_label = [&](const char* variable, auto text, const char* meaning) {
    dataset.add_variable(variable, by_evaluation, columns.of<std::string>(text),
                         {{"long_name", meaning}});
  };
  const auto add_index = [&](const char* variable, auto value, const char* meaning) {
    dataset.add_variable(variable, by_evaluation, columns.of<std::int32_t>(value),
                         describe("1", meaning));
  };
  add_label("ranking", ranking_of, "ranking of the tokens; empty: the untreated model");
  add_label("rule", rule_of, "what happens to the other weights; empty: the untreated model");
  add_label("scope", scope_of, "where the treatment acts; empty: the untreated model");
  add_index(
      "layer",
      [&](const Record& r) {
        return scope(r).kind == Scope::Kind::model ? -1 : scope(r).head.layer;
      },
      "layer of the scope, counted from 0; -1: all");
  add_index(
      "head",
      [&](const Record& r) {
        return scope(r).kind == Scope::Kind::head ? scope(r).head.query_head : -1;
      },
      "query head of the scope, counted from 0; -1: all");
  add_index(
      "set_size", [](const Record& r) { return r.treatment ? r.treatment->set_size : 0; },
      "tokens kept N; 0: the untreated model");
  add_index(
      "context_length", [](const Record& r) { return r.context_length; }, "tokens of each window");
  std::vector<double> nll;
  for (const Record& record : records) {
    nll.insert(nll.end(), record.document_nll.begin(), record.document_nll.end());
  }
  dataset.add_variable("nll_nats_per_token", {"evaluation", "document"}, std::move(nll),
                       describe("nats", "mean over the document's scored targets"));
  const auto add_number = [&](const char* variable, auto value, const char* meaning) {
    dataset.add_variable(variable, by_evaluation, columns.of<double>(value),
                         describe("1", meaning));
  };
  add_number(
      "relative_change", [](const Record& r) { return r.relative_change; },
      "relative change of the NLL from the untreated model's, theory.md (31)");
  add_number(
      "relative_change_low", [](const Record& r) { return low(r.interval); },
      "lower end of its 95% bootstrap interval over documents");
  add_number(
      "relative_change_high", [](const Record& r) { return high(r.interval); },
      "upper end of its 95% bootstrap interval over documents");
  add_label(
      "interval_reason", [](const Record& r) { return interval_reason(r.interval); },
      "why there is no interval; empty where there is one");
  dataset.add_variable("rows_without_mass", by_evaluation,
                       columns.of<std::int64_t>([](const Record& r) {
                         return static_cast<std::int64_t>(r.rows_without_mass);
                       }),
                       describe("1", "attention rows whose kept weights sum to 0"));
  if (results.scan != Scan::none) add_scan(results, dataset);
  dataset.attributes()["bos"] = bos(results.protocol);
  dataset.attributes()["scored_targets"] = scored(results.protocol);
  return dataset;
}

}  // namespace toplens
