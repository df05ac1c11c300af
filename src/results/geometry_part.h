#pragma once

#include <span>
#include <string>

#include "geometry/geometry_observer.h"
#include "results/dataset.h"

namespace toplens {

/// The measured geometry of a batch of documents as the dataset of its part.
Dataset geometry_part(const GeometryOptions& options, const GeometryResults& results,
                      std::span<const std::string> documents);

}  // namespace toplens
