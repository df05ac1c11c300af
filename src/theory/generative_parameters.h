#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "theory/parameters.h"

namespace toplens {

/// theory.md 9: a head that keeps the assumptions.
struct GenerativeParameters {
  double length = 1024.0;         ///< L, tokens visible to the final query
  double dimension = 128.0;       ///< d
  double sink_mass = 0.4;         ///< a_0
  double recency_share = 0.2;     ///< of the mass beside the sink
  double recency_length = 16.0;   ///< mu in tokens
  double oscillation = 0.5;       ///< B
  double period = 32.0;           ///< T0 in tokens
  double jitter = 1.5;            ///< sd of the middle part's log-weights
  double norm_spread = 0.15;      ///< delta
  double sink_norm_ratio = 0.2;   ///< kappa
  double similarity = 0.15;       ///< b
  double decay_amplitude = 0.35;  ///< A
  double decay_length = 20.0;     ///< lambda in tokens
  double sink_similarity = 0.1;   ///< rho_0
};

/// One row for each parameter: its name on the command line, where it may lie, and the range from
/// which heads of a population take it.
struct GenerativeParameter {
  std::string_view name;
  double GenerativeParameters::*value;
  double least, most;  ///< allowed, both included
  double low, high;    ///< of the population; equal: not varied
  bool logarithmic;    ///< drawn and swept by factors
  bool integer;
  std::string_view help;
};

std::span<const GenerativeParameter> generative_parameters();

/// Throws Error naming the parameter, its value and what is allowed.
void check(const GenerativeParameters& parameters);
/// The ranges of each alone, without the conditions between them that draw_parameters() keeps.
void check_ranges(const GenerativeParameters& parameters);

/// The parameters of one head of a population: those named in `fixed` are kept, the others drawn
/// from their ranges, within the conditions of (36).
GenerativeParameters draw_parameters(const GenerativeParameters& kept,
                                     std::span<const std::string_view> fixed, Random& random);

/// What A1 and A2 are true of these heads, with c = 1; residuals and profile are left empty.
HeadAssumptions true_assumptions(const GenerativeParameters& parameters);

}  // namespace toplens
