#pragma once

#include "model/config_reader.h"
#include "model/model_config.h"

namespace toplens {

/// Reads `rope_theta` and `rope_scaling`, or the newer `rope_parameters`. Where a file has both
/// forms they must agree; per-layer-type `rope_parameters` must all be the same.
RopeConfig read_rope_config(ConfigReader& config);

}  // namespace toplens
