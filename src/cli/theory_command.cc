#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/terminal.h"
#include "cli/theory_options.h"
#include "cli/theory_report.h"
#include "cli/usage_error.h"
#include "results/fits_dataset.h"
#include "results/netcdf_file.h"
#include "results/run_directory.h"
#include "results/theory_dataset.h"
#include "results/theory_json.h"
#include "results/theory_text.h"
#include "theory/theory_curve.h"

namespace toplens {
namespace {

struct Arguments {
  GenerativeParameters parameters;
  std::vector<std::string_view> given;  // names of parameters on the command line
  std::vector<int> set_sizes = CurveOptions().set_sizes;
  std::string ranking = "attention";
  double sigma = 1.0;
  double beta = 0.0;
  int weight_draws = 32;
  int draws = 0;  // 0: 64 for curves, 32 for each simulated document
  std::uint64_t seed = 2027;
  std::string sweep;
  int simulate = 0;
  int documents = 32;
  int envelope_documents = 0;
  std::string violation;
  std::string from;  // a run directory
  TheoryArguments predictions;
  std::vector<std::string> given_predictions;
  std::vector<std::string> not_of_runs;  // options given that --from has no use for
  bool envelope_documents_given = false;
  std::string out;
  bool sensitivity = false;
  int threads = 0;
  bool json = false;
};

double parse_number(const std::string& text, const std::string& where) {
  double value = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    throw UsageError(fmt::format("{}: '{}' is not a number", where, text));
  }
  return value;
}

/// NAME=FROM:TO[:STEPS]
struct Sweep {
  const GenerativeParameter* parameter = nullptr;  // null: the set size
  std::vector<double> values;
  std::string_view name() const { return parameter ? parameter->name : "set-size"; }
};

constexpr int kMostSteps = 1000;

std::vector<double> steps_of(const std::string& where, double from, double to, bool logarithmic,
                             bool integer, int steps) {
  if (!(from <= to)) {
    throw UsageError(fmt::format("{}: {} is above {}", where, from, to));
  }
  if (logarithmic && from <= 0.0) {
    throw UsageError(fmt::format("{}: starts at {}; expected above 0", where, from));
  }
  std::vector<double> values;
  if (steps == 0 && logarithmic) {  // doublings, and the end
    for (double x = from; x < to; x *= 2.0) values.push_back(x);
    values.push_back(to);
    return values;
  }
  if (steps == 0) steps = 11;
  for (int k = 0; k < steps; ++k) {
    const double u = steps == 1 ? 0.0 : static_cast<double>(k) / (steps - 1);
    double x = logarithmic ? from * std::pow(to / from, u) : from + u * (to - from);
    if (k == steps - 1 && steps > 1) x = to;
    if (integer) x = std::round(x);
    if (values.empty() || x > values.back()) values.push_back(x);
  }
  return values;
}

Sweep parse_sweep(const std::string& text) {
  const std::string where = "--sweep " + text;
  const std::size_t equals = text.find('=');
  const std::size_t colon = text.find(':', equals);
  if (equals == text.npos || colon == text.npos) {
    throw UsageError(fmt::format("{}: expected NAME=FROM:TO or NAME=FROM:TO:STEPS", where));
  }
  const std::size_t second = text.find(':', colon + 1);
  const std::string name = text.substr(0, equals);
  const double from = parse_number(text.substr(equals + 1, colon - equals - 1), where);
  const double to = parse_number(
      text.substr(colon + 1, second == text.npos ? text.npos : second - colon - 1), where);
  double steps = 0.0;
  if (second != text.npos) {
    steps = parse_number(text.substr(second + 1), where);
    if (steps < 1 || steps > kMostSteps || steps != std::floor(steps)) {
      throw UsageError(fmt::format("{}: {} steps; expected a whole number from 1 to {}", where,
                                   steps, kMostSteps));
    }
  }
  Sweep sweep;
  bool logarithmic = true, integer = true;
  std::string names = "set-size";
  if (name != "set-size") {
    for (const GenerativeParameter& row : generative_parameters()) {
      names += fmt::format(", {}", row.name);
      if (row.name == name) sweep.parameter = &row;
    }
    if (sweep.parameter == nullptr) {
      throw UsageError(
          fmt::format("{}: '{}' is not known; expected one of {}", where, name, names));
    }
    logarithmic = sweep.parameter->logarithmic;
    integer = sweep.parameter->integer;
  }
  if (integer && (from != std::floor(from) || to != std::floor(to))) {
    throw UsageError(fmt::format("{}: expected whole numbers", where));
  }
  if (sweep.parameter == nullptr && (from < 1 || to > (1 << 20))) {
    throw UsageError(fmt::format("{}: expected set sizes from 1 to {}", where, 1 << 20));
  }
  sweep.values = steps_of(where, from, to, logarithmic, integer, static_cast<int>(steps));
  return sweep;
}

ViolationAmount parse_violation_amount(const std::string& text) {
  if (text.empty()) return {};
  const std::size_t equals = text.find('=');
  if (equals == text.npos) {
    throw UsageError(fmt::format("--violate {}: expected NAME=AMOUNT, as in no-decay=1", text));
  }
  ViolationAmount violation;
  violation.violation = from_command_line([&] { return parse_violation(text.substr(0, equals)); });
  violation.amount = parse_number(text.substr(equals + 1), "--violate " + text);
  from_command_line([&] { check(violation); });
  return violation;
}

std::string show(const std::optional<int>& size, int largest) {
  return size ? fmt::format("{}", *size) : fmt::format(">{}", largest);
}

/// One row of the output: the columns in this order, JSON keys and CSV header alike.
void add_rows(const TheoryCurve& curve, const Sweep* sweep, double swept_value, bool json,
              nlohmann::ordered_json& records, std::string& csv) {
  for (const CurvePoint& point : curve.points) {
    const Envelope& e = point.envelope;
    if (json) {
      nlohmann::ordered_json record;
      if (sweep != nullptr && sweep->parameter != nullptr) {
        record["parameter"] = sweep->name();
        record["value"] = swept_value;
      }
      record["set_size"] = point.set_size;
      const auto add = [&](const char* metric, double Separation::*value) {
        record[fmt::format("{}_lower", metric)] = e.lower.*value;
        record[fmt::format("{}_centre", metric)] = e.centre.*value;
        record[fmt::format("{}_upper", metric)] = e.upper.*value;
      };
      add("precision", &Separation::precision);
      add("recall", &Separation::recall);
      add("f_score", &Separation::f_score);
      record["sink_selected_share"] = point.sink_selected_share;
      record["sink_threshold"] = nullptr;
      if (point.sink_threshold) record["sink_threshold"] = *point.sink_threshold;
      record["critical_size"] = nullptr;
      if (curve.critical_size) record["critical_size"] = *curve.critical_size;
      record["half_size"] = nullptr;
      if (curve.half_size) record["half_size"] = *curve.half_size;
      records.push_back(std::move(record));
      continue;
    }
    if (sweep != nullptr && sweep->parameter != nullptr) {
      csv += fmt::format("{},{},", sweep->name(), swept_value);
    }
    csv += fmt::format(
        "{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n", point.set_size, e.lower.precision,
        e.centre.precision, e.upper.precision, e.lower.recall, e.centre.recall, e.upper.recall,
        e.lower.f_score, e.centre.f_score, e.upper.f_score, point.sink_selected_share,
        point.sink_threshold ? fmt::format("{}", *point.sink_threshold) : "",
        show(curve.critical_size, curve.largest_size), show(curve.half_size, curve.largest_size));
  }
}

void note_undefined_sizes(std::span<const int> set_sizes, double length) {
  for (const int size : set_sizes) {
    if (size >= length) {
      print_note(
          fmt::format("note: set size {} is not defined: the query sees {} tokens", size, length));
    }
  }
}

void run_curves(const Arguments& arguments) {
  CurveOptions options;
  options.set_sizes = arguments.set_sizes;
  options.ranking = from_command_line([&] { return parse_ranking(arguments.ranking); });
  options.sigma = arguments.sigma;
  options.beta = arguments.beta;
  options.weight_draws = arguments.weight_draws;
  if (arguments.draws > 0) options.draws = arguments.draws;
  options.seed = arguments.seed;

  std::optional<Sweep> sweep;
  if (!arguments.sweep.empty()) sweep = parse_sweep(arguments.sweep);
  const Sweep* const swept = sweep ? &*sweep : nullptr;
  const bool by_value = swept != nullptr && swept->parameter != nullptr;
  std::vector<double> values = {0.0};
  if (by_value) values = swept->values;
  if (swept != nullptr && !by_value) {
    options.set_sizes.assign(swept->values.begin(), swept->values.end());
  }
  std::string csv = by_value ? "parameter,value," : "";
  csv +=
      "set_size,precision_lower,precision_centre,precision_upper,recall_lower,recall_centre,"
      "recall_upper,f_score_lower,f_score_centre,f_score_upper,sink_selected_share,"
      "sink_threshold,critical_size,half_size\n";
  nlohmann::ordered_json records = nlohmann::ordered_json::array();
  for (const double value : values) {
    GenerativeParameters parameters = arguments.parameters;
    if (by_value) parameters.*swept->parameter->value = value;
    const TheoryCurve curve = from_command_line([&] { return theory_curve(parameters, options); });
    note_undefined_sizes(options.set_sizes, parameters.length);
    add_rows(curve, swept, value, arguments.json, records, csv);
  }
  print_output(arguments.json ? records.dump() + "\n" : csv);
}

void run_simulation(const Arguments& arguments) {
  PopulationOptions population;
  population.heads = arguments.simulate;
  population.kept = arguments.parameters;
  population.fixed = arguments.given;
  population.violation = parse_violation_amount(arguments.violation);
  SimulationOptions options;
  options.documents = arguments.documents;
  options.set_sizes = arguments.set_sizes;
  options.ranking = from_command_line([&] { return parse_ranking(arguments.ranking); });
  if (arguments.draws > 0) options.envelope.draws = arguments.draws;
  options.envelope.documents = arguments.envelope_documents;
  options.envelope.seed = arguments.seed;
  from_command_line([&] { check(options); });
  if (options.set_sizes.front() >= population.kept.length) {
    throw UsageError(fmt::format("no set size is below the length {}", population.kept.length));
  }
  note_undefined_sizes(options.set_sizes, population.kept.length);
  ThreadPool pool(arguments.threads > 0 ? arguments.threads : available_threads());
  if (arguments.sensitivity) {
    print_output(sensitivity_report(population, options, pool));
    return;
  }
  const Population simulated = simulate_population(population, options, pool);
  print_output(arguments.json ? simulation_json(population, options, simulated)
                              : simulation_report(population, options, simulated));
}

/// The fits and predictions of a finished run, anew.
void run_from(Arguments arguments) {
  const nlohmann::ordered_json run = read_run_json(arguments.from);
  arguments.predictions.draws = arguments.draws;
  if (arguments.envelope_documents_given) {
    arguments.predictions.envelope_documents = arguments.envelope_documents;
  }
  const RunTheoryOptions options = arguments.predictions.options(recorded_seed(run));
  ThreadPool pool(arguments.threads > 0 ? arguments.threads : available_threads());
  const PartsReader parts = PartsReader::of_run(arguments.from);
  if (!has_theory_records(parts)) {
    throw Error(fmt::format(
        "{}: the run holds no records for the theory: it was made with --theory off; run analyze "
        "again",
        arguments.from));
  }
  const PooledTheory theory = pool_theory(parts, options, pool);
  if (!arguments.out.empty()) {
    Dataset heads = make_heads_dataset(theory.run.layers, theory.run.heads);
    add_fit_variables(heads, theory.run.fits, theory.shape);
    add_theory_variables(heads, theory, options);
    write_netcdf(arguments.out, heads);
    const std::filesystem::path out(arguments.out);
    RunDirectory::record_later_results(out.parent_path(), {out.filename().string()});
  }
  print_output(arguments.json ? theory_json(theory, options).dump() + "\n"
                              : theory_summary(theory, options));
}

void refuse(bool given, std::string_view option, std::string_view reason) {
  if (given) throw UsageError(fmt::format("{} {}", option, reason));
}

void run(Arguments arguments) {
  std::sort(arguments.set_sizes.begin(), arguments.set_sizes.end());
  for (std::size_t n = 0; n < arguments.set_sizes.size(); ++n) {
    if (arguments.set_sizes[n] < 1 ||
        (n > 0 && arguments.set_sizes[n] == arguments.set_sizes[n - 1])) {
      throw UsageError(
          fmt::format("--set-sizes: {} is below 1 or given twice", arguments.set_sizes[n]));
    }
  }
  // The others are drawn, or swept, so that the conditions between them hold or are checked then.
  from_command_line([&] { check_ranges(arguments.parameters); });
  const auto given = [&](std::string_view parameter) {
    return std::find(arguments.given.begin(), arguments.given.end(), parameter) !=
           arguments.given.end();
  };
  if (given("similarity") && (given("decay-amplitude") || given("sink-similarity"))) {
    from_command_line([&] { check(arguments.parameters); });
  }
  if (!arguments.from.empty()) {
    for (const std::string& option : arguments.not_of_runs) {
      refuse(true, option, "cannot go with --from: it is what the run has or fits");
    }
    run_from(std::move(arguments));
    return;
  }
  for (const std::string& option : arguments.given_predictions)
    refuse(true, option, "needs --from");
  refuse(!arguments.out.empty(), "--out", "needs --from");
  if (arguments.simulate > 0) {
    refuse(!arguments.sweep.empty(), "--sweep", "draws curves; it cannot go with --simulate");
    refuse(arguments.sensitivity && !arguments.violation.empty(), "--violate",
           "cannot go with --sensitivity, which violates each assumption in turn");
    refuse(arguments.sensitivity && arguments.json, "--json",
           "cannot go with --sensitivity, whose result is a Markdown table");
    run_simulation(arguments);
  } else {
    refuse(!arguments.violation.empty(), "--violate", "needs --simulate");
    refuse(arguments.sensitivity, "--sensitivity", "needs --simulate");
    run_curves(arguments);
  }
}

}  // namespace

void add_theory_command(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *app.add_subcommand("theory",
                                          "Envelopes of precision, recall and F from assumptions "
                                          "alone, without a model; or anew from a run");
  std::vector<std::pair<std::string_view, CLI::Option*>> parameters;
  for (const GenerativeParameter& row : generative_parameters()) {
    parameters.emplace_back(
        row.name, command
                      .add_option(fmt::format("--{}", row.name), arguments->parameters.*row.value,
                                  std::string(row.help))
                      ->capture_default_str()
                      ->group("Parameters of the head"));
  }
  command
      .add_option("--sigma", arguments->sigma,
                  "Residual spread of theory curves; --simulate measures it")
      ->capture_default_str();
  command
      .add_option("--beta", arguments->beta,
                  "Mean residual of theory curves; --simulate measures it")
      ->capture_default_str();
  command.add_option("--set-sizes", arguments->set_sizes, "Set sizes N")
      ->delimiter(',')
      ->capture_default_str();
  command.add_option("--ranking", arguments->ranking, "attention or contribution")
      ->capture_default_str();
  command.add_option("--weight-draws", arguments->weight_draws, "Attention rows drawn for a curve")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command
      .add_option("--draws", arguments->draws,
                  "Draws of the scalar model for each attention row; 0: 64, with --simulate 32")
      ->check(CLI::Range(0, 100000))
      ->capture_default_str();
  command.add_option("--seed", arguments->seed, "Seed of everything drawn")->capture_default_str();
  command.add_option("--sweep", arguments->sweep,
                     "NAME=FROM:TO[:STEPS] over a parameter above or set-size");
  command
      .add_option("--simulate", arguments->simulate,
                  "Draw K heads; parameters not given here vary between them")
      ->check(CLI::Range(1, 1000000));
  command.add_option("--documents", arguments->documents, "Documents of each simulated head")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  command
      .add_option("--envelope-documents", arguments->envelope_documents,
                  "Documents of each head whose envelopes are drawn; 0: all")
      ->check(CLI::Range(0, 100000))
      ->capture_default_str();
  command.add_option("--violate", arguments->violation,
                     "NAME=AMOUNT: break one assumption: heavy-tailed-norms, uncompressed-sink, "
                     "no-decay, slow-decay, induction-spikes, second-sink");
  command.add_flag("--sensitivity", arguments->sensitivity,
                   "A table of coverage and error with each assumption broken in turn");
  command
      .add_option("--from", arguments->from,
                  "Fit and predict anew from the parts of a run of analyze")
      ->type_name("RUN_DIR");
  const std::vector<CLI::Option*> predictions = arguments->predictions.add_sources_to(command);
  command.add_option("--out", arguments->out, "With --from: a netCDF file for the results by head")
      ->type_name("FILE.nc");
  command.add_option("--threads", arguments->threads, "Worker threads; 0: all")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  command.add_flag("--json", arguments->json, "JSON instead of CSV or text");
  command.callback([&action, &command, arguments, parameters, predictions] {
    static const std::set<std::string> kOfRuns = {"--from",
                                                  "--out",
                                                  "--threads",
                                                  "--json",
                                                  "--help",
                                                  "--weights",
                                                  "--residuals",
                                                  "--draws",
                                                  "--envelope-documents",
                                                  "--effective-dimension"};
    for (const CLI::Option* option : command.get_options()) {
      if (option->count() == 0) continue;
      if (option->get_name() == "--envelope-documents") arguments->envelope_documents_given = true;
      if (!kOfRuns.contains(option->get_name())) {
        arguments->not_of_runs.push_back(option->get_name());
      }
    }
    for (const CLI::Option* option : predictions) {
      if (option->count() > 0) arguments->given_predictions.push_back(option->get_name());
    }
    for (const auto& [name, option] : parameters) {
      if (option->count() > 0) arguments->given.push_back(name);
    }
    action = [arguments] { run(*arguments); };
  });
}

}  // namespace toplens
