#include "model/rope_config.h"

#include <fmt/core.h>
#include <toplens/error.h>

#include <nlohmann/json.hpp>

#include "io/json_text.h"

namespace toplens {
namespace {

constexpr double kDefaultTheta = 10000.0;  // of every published configuration class

bool same(const RopeConfig& a, const RopeConfig& b) {
  return a.theta == b.theta && a.type == b.type && a.factor == b.factor &&
         a.low_freq_factor == b.low_freq_factor && a.high_freq_factor == b.high_freq_factor &&
         a.original_max_position_embeddings == b.original_max_position_embeddings;
}

std::string read_type(ConfigReader& rope) {
  // `type` is the older spelling; some files carry both.
  const bool has_new = rope.has("rope_type");
  const bool has_old = rope.has("type");
  if (!has_new && !has_old) rope.fail_missing("rope_type");
  std::string type = rope.text(has_new ? "rope_type" : "type");
  if (has_new && has_old && rope.text("type") != type) {
    rope.fail("type", "the same as rope_type");
  }
  if (type != "default" && type != "linear" && type != "llama3") {
    rope.fail(has_new ? "rope_type" : "type", "default, linear or llama3 (the supported types)");
  }
  return type;
}

RopeConfig read_dictionary(const nlohmann::json& object, const std::string& where,
                           const std::string& name, std::optional<double> theta) {
  if (!object.is_object()) {
    throw Error(fmt::format("{}: key {} is {}, expected an object or null", where, in_quotes(name),
                            described(object)));
  }
  ConfigReader rope(object, where, name + ".");
  RopeConfig config;
  config.type = read_type(rope);
  config.theta = rope.positive_number("rope_theta", theta.value_or(kDefaultTheta));
  if (theta && config.theta != *theta) {
    rope.fail("rope_theta", fmt::format("the same as the file's rope_theta, {}", *theta));
  }
  if (config.type != "default") config.factor = rope.positive_number("factor");
  if (config.type == "llama3") {
    config.low_freq_factor = rope.positive_number("low_freq_factor");
    config.high_freq_factor = rope.positive_number("high_freq_factor");
    config.original_max_position_embeddings =
        rope.positive_number("original_max_position_embeddings");
    if (!(config.high_freq_factor > config.low_freq_factor)) {
      rope.fail("high_freq_factor", "more than low_freq_factor");
    }
  }
  if (rope.has_value("partial_rotary_factor") &&
      rope.positive_number("partial_rotary_factor") != 1.0) {
    rope.fail("partial_rotary_factor", "1.0 (all that is supported)");
  }
  for (const std::string& key : rope.unread()) {
    rope.fail(key, fmt::format("no such key: of rope type {} these are read: {}", config.type,
                               rope.read_keys()));
  }
  return config;
}

/// Models with several kinds of layers may have one dictionary for each.
RopeConfig read_parameters(const nlohmann::json& object, const std::string& where,
                           std::optional<double> theta) {
  constexpr const char* kName = "rope_parameters";
  std::optional<RopeConfig> common;
  for (const char* layer_type : {"full_attention", "sliding_attention"}) {
    if (!object.is_object() || !object.contains(layer_type)) continue;
    const RopeConfig config = read_dictionary(object.at(layer_type), where,
                                              fmt::format("{}.{}", kName, layer_type), theta);
    if (common && !same(*common, config)) {
      throw Error(
          fmt::format("{}: key '{}' differs between layer types; supported is one rotary "
                      "embedding for all layers",
                      where, kName));
    }
    common = config;
  }
  if (!common) return read_dictionary(object, where, kName, theta);
  for (const auto& [key, unused] : object.items()) {
    if (key != "full_attention" && key != "sliding_attention") {
      throw Error(
          fmt::format("{}: key '{}' has {} beside full_attention and sliding_attention, "
                      "expected only these",
                      where, kName, in_quotes(key)));
    }
  }
  return *common;
}

}  // namespace

RopeConfig read_rope_config(ConfigReader& config) {
  std::optional<double> theta;
  if (config.has("rope_theta")) theta = config.positive_number("rope_theta");

  std::optional<RopeConfig> older;
  std::optional<RopeConfig> newer;
  if (config.has_value("rope_scaling")) {
    older = read_dictionary(config.value("rope_scaling"), config.where(), "rope_scaling", theta);
  }
  if (config.has_value("rope_parameters")) {
    newer = read_parameters(config.value("rope_parameters"), config.where(), theta);
  }
  if (older && newer && !same(*older, *newer)) {
    throw Error(
        fmt::format("{}: keys 'rope_scaling' and 'rope_parameters' disagree, expected one "
                    "of them or the same in both",
                    config.where()));
  }
  if (newer) return *newer;
  if (older) return *older;
  RopeConfig plain;
  plain.theta = theta.value_or(kDefaultTheta);
  return plain;
}

}  // namespace toplens
