#pragma once

#include <toplens/observer.h>

#include "geometry/separability.h"
#include "model/model_config.h"

namespace toplens {

/// Seconds that the geometry of one document takes on one thread, from a head of random weights and
/// values whose queries are timed at a few positions: some ten milliseconds.
double estimate_geometry_seconds(const ModelConfig& config, const GeometryOptions& options,
                                 QuerySelection queries, int length);

}  // namespace toplens
