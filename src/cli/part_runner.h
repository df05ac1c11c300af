#pragma once

#include <cstdint>
#include <vector>

#include "cli/analysis_stage.h"
#include "cli/run_text.h"
#include "model/forward_pass.h"
#include "model/session.h"

namespace toplens {

/// Lengths of the lanes that go through the model beside one document.
std::vector<int> own_lane_lengths(const AnalysisStages& stages, std::uint64_t document);

/// Computes parts: the documents of each in as many passes as the memory budget asks for.
class PartRunner {
 public:
  /// All must outlive it.
  PartRunner(ModelSession& session, const EnginePlan& plan, const RunText& text,
             const AnalysisStages& stages)
      : plan_(plan), text_(text), stages_(stages), pass_(session.model(), session.pool(), plan) {}

  /// Documents first .. first + count - 1 of the run.
  Dataset run(std::size_t first, std::size_t count, ProgressListener& listener);

  /// Layers x documents; stages' own lanes are not counted.
  std::uint64_t layer_forwards() const { return layer_forwards_; }

 private:
  Dataset run_batch(std::size_t begin, std::size_t end, ProgressListener& listener);

  const EnginePlan& plan_;
  const RunText& text_;
  const AnalysisStages& stages_;
  ForwardPass pass_;
  std::uint64_t layer_forwards_ = 0;
};

}  // namespace toplens
