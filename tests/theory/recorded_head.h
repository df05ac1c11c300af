#pragma once

#include <cstdint>
#include <vector>

#include "theory/assumption_observer.h"
#include "theory/assumption_records.h"
#include "theory/generative_model.h"

namespace toplens::testing {

/// One head's final query over one document.
struct HeadSample {
  std::vector<float> attention;  ///< [L]
  std::vector<float> values;     ///< [L, d]
};

/// What the observer records of one layer with one head over these documents.
AssumptionRecords record(const std::vector<HeadSample>& documents, std::size_t head_dim,
                         const AssumptionOptions& options = {}, int window = 0);

/// `documents` draws of one head of theory.md (36).
std::vector<HeadSample> draw_documents(const GenerativeHead& head, std::size_t documents);

/// Documents with values of norm 1 in independent directions and these weights.
std::vector<HeadSample> with_weights(const std::vector<std::vector<double>>& weights,
                                     std::size_t head_dim, std::uint64_t seed);

}  // namespace toplens::testing
