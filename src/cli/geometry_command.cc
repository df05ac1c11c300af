#include <memory>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "cli/usage_error.h"
#include "geometry/tensor_geometry.h"
#include "io/npy.h"

namespace toplens {
namespace {

struct Arguments {
  std::string attention, values, layers = "all";
  int window = 0;
  bool json = false;
  GeometryArguments geometry;
};

std::string to_json(const std::vector<GeometryRecord>& records) {
  nlohmann::ordered_json array = nlohmann::ordered_json::array();
  for (const GeometryRecord& r : records) {
    nlohmann::ordered_json record;
    if (r.layer) record["layer"] = *r.layer;
    record["head"] = r.query_head;
    record["query"] = r.query;
    record["ranking"] = name(r.ranking);
    record["distance"] = name(r.distance);
    record["set_size"] = r.set_size;
    record["precision"] = r.separability.precision;
    record["recall"] = r.separability.recall;
    record["f_score"] = r.separability.f_score;
    record["margin"] = r.separability.margin;
    record["inversions"] = r.separability.inversions;
    array.push_back(std::move(record));
  }
  return array.dump() + "\n";
}

std::string to_csv(const std::vector<GeometryRecord>& records) {
  const bool with_layer = !records.empty() && records.front().layer.has_value();
  std::string csv = with_layer ? "layer," : "";
  csv += "head,query,ranking,distance,set_size,precision,recall,f_score,margin,inversions\n";
  for (const GeometryRecord& r : records) {
    if (with_layer) csv += fmt::format("{},", *r.layer);
    const Separability& s = r.separability;
    csv += fmt::format("{},{},{},{},{},{},{},{},{},{}\n", r.query_head, r.query, name(r.ranking),
                       name(r.distance), r.set_size, s.precision, s.recall, s.f_score, s.margin,
                       s.inversions);
  }
  return csv;
}

void run(const Arguments& arguments) {
  const GeometryOptions options = arguments.geometry.options(true, true);
  GeometryTensors tensors;
  tensors.queries = arguments.geometry.query_selection();
  const NpyFloatArray attention(arguments.attention);
  const NpyFloatArray values(arguments.values);
  tensors.attention = {arguments.attention, attention.shape(), attention.values()};
  tensors.values = {arguments.values, values.shape(), values.values()};
  tensors.window = arguments.window;
  const bool has_layers = attention.shape().size() == 4;
  if (arguments.layers != "all") {
    if (!has_layers) {
      throw UsageError(
          fmt::format("--layers needs arrays with layers, [layer, head, query, key]; {} "
                      "has {} dimensions",
                      arguments.attention, attention.shape().size()));
    }
    tensors.layers = parse_layers(arguments.layers, static_cast<int>(attention.shape()[0]));
  }
  const TensorGeometry geometry = measure_tensors(tensors, options);
  for (const std::string& note : geometry.notes) print_note(note);
  print_output(arguments.json ? to_json(geometry.records) : to_csv(geometry.records));
}

}  // namespace

void add_geometry_command(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *app.add_subcommand(
      "geometry", "Measure your own attention weights and value vectors (.npy), without a model");
  command
      .add_option("--attention", arguments->attention,
                  "Weights: [L], [head, query, key], or capture's [layer, head, query, key]")
      ->required()
      ->type_name("FILE");
  command
      .add_option("--values", arguments->values,
                  "Values: [L, d], [kv_head, key, d], or capture's [layer, kv_head, key, d]")
      ->required()
      ->type_name("FILE");
  command
      .add_option("--layers", arguments->layers, "Layers of 4-D arrays: all or a list, as in 0,2")
      ->type_name("LIST")
      ->capture_default_str();
  command
      .add_option("--window", arguments->window,
                  "Sliding window: a query sees itself and the W-1 tokens before it; 0: none")
      ->check(CLI::Range(0, 1 << 30))
      ->type_name("W")
      ->capture_default_str();
  arguments->geometry.add_to(command, "Queries to measure: last, all or tail:K");
  command.add_flag("--json", arguments->json, "A JSON array of records instead of CSV");
  command.callback([&action, arguments] { action = [arguments] { run(*arguments); }; });
}

}  // namespace toplens
