#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/name_table.h"

namespace toplens {

/// theory.md 8. The numbers are those of the results.
enum class Regime : std::int32_t {
  undefined = 0,
  reset = 1,
  retriever = 2,
  mixer = 3,
  unclassified = 4,
};

inline constexpr std::array<NamedKind<Regime>, 5> kRegimeNames = {{
    {Regime::undefined, "undefined"},
    {Regime::reset, "reset"},
    {Regime::retriever, "retriever"},
    {Regime::mixer, "mixer"},
    {Regime::unclassified, "unclassified"},
}};
inline constexpr std::size_t kNumRegimes = kRegimeNames.size();
inline std::string_view name(Regime regime) { return name_in(kRegimeNames, regime); }

/// Where the rule draws its lines.
struct RegimeThresholds {
  double sink_mass = 0.5;
  double output_ratio = 0.5;
  double effective_number = 8.0;
  double separability = 0.5;
  double self_mass = 0.5;
  double least_visible_tokens = 16.0;
  double least_other_mass = 1e-6;

  /// Throws Error that lists the valid names, or says what the value must be.
  void set(std::string_view name, double value);
  bool operator==(const RegimeThresholds&) const = default;
};

struct RegimeThresholdRow {
  std::string_view name;
  double RegimeThresholds::*value;
  double low, high;  ///< the value must lie between, both excluded
  std::string_view meaning;
};

/// One row for each threshold: names of the command line, of the manifest and of the file.
inline constexpr std::array<RegimeThresholdRow, 7> kRegimeThresholds = {{
    {"sink_mass", &RegimeThresholds::sink_mass, 0.0, 1.0, "Reset: sink mass at least this"},
    {"output_ratio", &RegimeThresholds::output_ratio, 0.0, 1e9, "Reset: output ratio at most this"},
    {"effective_number", &RegimeThresholds::effective_number, 1.0, 1e9,
     "Retriever: n_eff at most this; Mixer: above it"},
    {"separability", &RegimeThresholds::separability, 0.0, 1.0,
     "Retriever: separability at least this"},
    {"self_mass", &RegimeThresholds::self_mass, 0.0, 1.0,
     "Retriever's flag self: final mass at least this"},
    {"least_visible_tokens", &RegimeThresholds::least_visible_tokens, 9.0, 1e9,
     "Undefined: fewer visible tokens than this"},
    {"least_other_mass", &RegimeThresholds::least_other_mass, 0.0, 1.0,
     "Undefined: less attention than this on other tokens than the sink"},
}};

/// The features that the rule reads, means over documents.
struct SignatureMeans {
  double sink_mass = 0.0;
  double final_mass = 0.0;
  double log_effective_number = 0.0;
  double separability = 0.0;
  double output_ratio = 0.0;
};

struct RegimeLabel {
  Regime regime = Regime::undefined;
  bool self = false;    ///< a Retriever that attends mostly its own token
  double margin = 0.0;  ///< to the nearest threshold, in units of the slacks of theory.md 8
};

RegimeLabel classify(const SignatureMeans& means, const RegimeThresholds& thresholds);

}  // namespace toplens
