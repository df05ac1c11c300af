#pragma once

#include <string>

#include "results/geometry_dataset.h"
#include "results/run_manifest.h"

namespace toplens {

struct SummaryOptions {
  std::string ranking = "attention";   ///< where the run lacks it, its first ranking
  std::string distance = "euclidean";  ///< likewise
  std::string control = "random";      ///< the ranking beside it; left out where the run lacks it
  double separable_f_score = 0.5;      ///< heads with at least this mean F are counted
  std::size_t most_layer_rows = 40;    ///< deeper models show ranges of layers
};

/// What was run, in two or three lines: model, text, protocol.
std::string run_headline(const RunManifest& manifest);

/// The results for a terminal of 100 columns (UTF-8, no colour): the overall curve of P, R and F
/// against N beside the control, and a table of F by layer with its best and weakest heads.
std::string geometry_summary(const GeometryView& geometry, const SummaryOptions& options = {});

}  // namespace toplens
