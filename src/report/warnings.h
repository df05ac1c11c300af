#pragma once

#include <string>
#include <vector>

#include "report/figure.h"

namespace toplens {

/// What a reader must know before believing a figure: an unfinished run, too few documents,
/// assumptions that fail (A1 to A3 of theory.md 3, with the number of heads and the reasons), heads
/// where nothing is estimable, sizes that are not defined.
std::vector<std::string> run_warnings(const ReportRun& run);

}  // namespace toplens
