#pragma once

#include <string>

#include "results/theory_pool.h"
#include "theory/theory_summary.h"

namespace toplens {

/// A mean with its interval, "0.973 [0.961, 0.984]".
std::string show(const HeadMean& mean);
/// The same of a correlation, or that it is not defined.
std::string show(const RankCorrelation& correlation);

/// For the terminal: which assumptions hold, coverage and error of the prediction beside a
/// baseline's (overall, by layer third, by set size), and the checks of theory.md 6.
std::string theory_summary(const PooledTheory& theory, const RunTheoryOptions& options);

}  // namespace toplens
