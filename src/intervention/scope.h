#pragma once

#include <string>
#include <string_view>

#include <toplens/observer.h>

#include "model/model_config.h"
#include "selection/treatment.h"

namespace toplens {

/// Where a treatment acts (theory.md 7): in the whole model, in one layer, in one head.
struct Scope {
  enum class Kind { model, layer, head };
  Kind kind = Kind::model;
  HeadId head;  ///< its layer alone counts for Kind::layer

  static Scope model() { return {}; }
  static Scope layer(int index) { return {Kind::layer, {index, 0}}; }
  static Scope one_head(HeadId head) { return {Kind::head, head}; }
  friend bool operator==(const Scope& a, const Scope& b) {
    return a.kind == b.kind && a.head.layer == b.head.layer &&
           a.head.query_head == b.head.query_head;
  }
};

/// "model", "layer:1" or "head:1.2" (layer.head).
std::string name(const Scope& scope);
/// Throws Error naming the text and the accepted forms.
Scope parse_scope(std::string_view text);
/// Throws Error where the layer or head is outside the model.
void check(const Scope& scope, const ModelConfig& config);

/// Treats the heads of the scope with this N.
void set_size_in(const Scope& scope, int set_size, Treatment& treatment);

}  // namespace toplens
