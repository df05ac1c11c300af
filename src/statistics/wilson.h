#pragma once

#include <cstddef>

#include "statistics/bootstrap.h"

namespace toplens {

/// Wilson's score interval of a proportion (Wilson 1927). Needs 0 <= successes <= trials, trials >
/// 0 and 0 < level < 1.
Interval wilson_interval(std::size_t successes, std::size_t trials, double level = 0.95);

}  // namespace toplens
