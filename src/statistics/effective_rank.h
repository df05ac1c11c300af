#pragma once

#include <toplens/array_view.h>

#include "kernels/gram.h"

namespace toplens {

/// exp of the entropy of the normalised singular values (Roy, Vetterli 2007) of a matrix [vectors,
/// dimension], not centred, in float64. NaN for a zero matrix. Keeps scratch memory.
class EffectiveRank {
 public:
  double of(MatrixView<const float> vectors);

 private:
  VectorPanels panels_;
  GramMatrix gram_;
};

}  // namespace toplens
