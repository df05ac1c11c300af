#pragma once

#include <cstdint>
#include <span>

#include "selection/treatment.h"

namespace toplens {

/// One document on its way through the layers, under one treatment.
struct Lane {
  std::span<const std::int32_t> token_ids;
  const Treatment* treatment = nullptr;  ///< none: untreated. Must outlive the pass
  std::uint64_t document = 0;            ///< keys the random rankings
  /// An untreated lane of the same tokens and the same pass, from which this one forks before its
  /// treatment's first layer; -1: computed from layer 0. Results are the same.
  int fork_of = -1;

  /// The first layer that is computed for this lane.
  int first_layer() const { return fork_of >= 0 ? treatment->first_layer() : 0; }
};

}  // namespace toplens
