#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/name_table.h"
#include "base/random.h"
#include "theory/generative_parameters.h"
#include "theory/parameters.h"

namespace toplens {

/// One assumption broken by an amount, whose unit stands beside it.
enum class Violation {
  none,
  heavy_tailed_norms,  ///< norms times a Pareto factor of mean 1 and tail index 1 / amount; < 0.5
  uncompressed_sink,   ///< amount: kappa of the drawn sink
  no_decay,            ///< amount: share of A that becomes independent noise; <= 1
  slow_decay,          ///< amount: lambda is so many times longer; >= 1
  induction_spikes,    ///< amount: share of the non-sink mass on 4 random middle tokens; < 1
  second_sink,         ///< amount: mass of a copy of the sink at L/2, relative to the sink's; <= 1
};

inline constexpr std::array<NamedKind<Violation>, 7> kViolationNames = {{
    {Violation::none, "none"},
    {Violation::heavy_tailed_norms, "heavy-tailed-norms"},
    {Violation::uncompressed_sink, "uncompressed-sink"},
    {Violation::no_decay, "no-decay"},
    {Violation::slow_decay, "slow-decay"},
    {Violation::induction_spikes, "induction-spikes"},
    {Violation::second_sink, "second-sink"},
}};

inline std::string_view name(Violation violation) { return name_in(kViolationNames, violation); }
inline Violation parse_violation(std::string_view text) {
  return parse_name(kViolationNames, "violation", text);
}

struct ViolationAmount {
  Violation violation = Violation::none;
  double amount = 0.0;
};

/// theory.md 9: a head that keeps the assumptions.
/// Throws Error naming the amount and what is allowed.
void check(const ViolationAmount& violation);

/// The parameters that a perfect fit of the violated heads would find: norms, kappa and decay
/// change, what the assumptions have no parameter for does not.
GenerativeParameters parameters_as_fitted(const GenerativeParameters& parameters,
                                          const ViolationAmount& violation);

/// Attention and values of one document, c = 1.
struct DrawnDocument {
  std::vector<float> attention;  ///< [L], sums to 1
  std::vector<float> values;     ///< [L, d]
};

/// One head of theory.md (36): its directions m and m_perp are fixed, documents are independent.
class GenerativeHead {
 public:
  /// Throws Error for parameters that check() does not allow.
  GenerativeHead(const GenerativeParameters& parameters, const ViolationAmount& violation,
                 std::uint64_t seed, std::uint64_t head);

  const GenerativeParameters& parameters() const { return parameters_; }
  const ViolationAmount& violation() const { return violation_; }

  /// The same number gives the same document.
  DrawnDocument draw(std::uint64_t document) const;
  /// The weights alone, in float64.
  std::vector<double> draw_weights(Random& random) const;

 private:
  void draw_values(Random& random, std::vector<float>& values) const;

  GenerativeParameters parameters_;
  ViolationAmount violation_;
  std::uint64_t seed_, head_;
  std::vector<float> direction_;       // m
  std::vector<float> sink_direction_;  // v_0 / (kappa c)
};

}  // namespace toplens
