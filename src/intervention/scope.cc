#include "intervention/scope.h"

#include <charconv>
#include <optional>

#include <fmt/format.h>
#include <toplens/error.h>

namespace toplens {
namespace {

std::optional<int> parse_index(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

}  // namespace

std::string name(const Scope& scope) {
  switch (scope.kind) {
    case Scope::Kind::model:
      return "model";
    case Scope::Kind::layer:
      return fmt::format("layer:{}", scope.head.layer);
    case Scope::Kind::head:
      return fmt::format("head:{}.{}", scope.head.layer, scope.head.query_head);
  }
  return "?";
}

Scope parse_scope(std::string_view text) {
  if (text == "model") return Scope::model();
  if (text.substr(0, 6) == "layer:") {
    if (const auto layer = parse_index(text.substr(6))) return Scope::layer(*layer);
  }
  if (text.substr(0, 5) == "head:") {
    const std::string_view place = text.substr(5);
    const std::size_t dot = place.find('.');
    if (dot != place.npos) {
      const auto layer = parse_index(place.substr(0, dot));
      const auto head = parse_index(place.substr(dot + 1));
      if (layer && head) return Scope::one_head({*layer, *head});
    }
  }
  throw Error(fmt::format(
      "scope '{}' is not known: expected model, layer:L or head:L.H, counted from 0", text));
}

void check(const Scope& scope, const ModelConfig& config) {
  if (scope.kind == Scope::Kind::model) return;
  if (scope.head.layer >= config.num_layers) {
    throw Error(fmt::format("scope {}: the model has {} layers, 0 to {}", name(scope),
                            config.num_layers, config.num_layers - 1));
  }
  if (scope.kind == Scope::Kind::head && scope.head.query_head >= config.num_query_heads) {
    throw Error(fmt::format("scope {}: the model has {} query heads in a layer, 0 to {}",
                            name(scope), config.num_query_heads, config.num_query_heads - 1));
  }
}

void set_size_in(const Scope& scope, int set_size, Treatment& treatment) {
  switch (scope.kind) {
    case Scope::Kind::model:
      return treatment.set_all(set_size);
    case Scope::Kind::layer:
      return treatment.set_layer(scope.head.layer, set_size);
    case Scope::Kind::head:
      return treatment.set(scope.head, set_size);
  }
}

}  // namespace toplens
