#include "cli/part_runner.h"

#include <algorithm>
#include <list>
#include <memory>
#include <string>

#include <fmt/format.h>

#include "observe/lane_range_observer.h"

namespace toplens {
namespace {

/// Tells of a pass in units of documents, whatever lanes stages have beside them.
class DocumentProgress : public ProgressListener {
 public:
  DocumentProgress(ProgressListener& listener, std::size_t documents, std::size_t lanes)
      : listener_(listener), documents_(documents), lanes_(lanes) {}
  void advance(std::uint64_t done, std::uint64_t total) override {
    listener_.advance(done * documents_ / lanes_, total * documents_ / lanes_);
  }

 private:
  ProgressListener& listener_;
  std::size_t documents_, lanes_;
};

}  // namespace

std::vector<int> own_lane_lengths(const AnalysisStages& stages, std::uint64_t document) {
  std::vector<int> lengths;
  for (const auto& stage : stages) {
    const std::vector<int> own = stage->own_lane_lengths(document);
    lengths.insert(lengths.end(), own.begin(), own.end());
  }
  return lengths;
}

Dataset PartRunner::run(std::size_t first, std::size_t count, ProgressListener& listener) {
  std::vector<Dataset> pieces;
  std::vector<std::string> names;
  const auto batch = static_cast<std::size_t>(plan_.lanes_per_batch);
  for (std::size_t begin = first; begin < first + count; begin += batch) {
    const std::size_t end = std::min(begin + batch, first + count);
    pieces.push_back(run_batch(begin, end, listener));
    names.push_back(fmt::format("documents {} to {}", begin, end - 1));
  }
  return concatenate_documents(pieces, names);
}

Dataset PartRunner::run_batch(std::size_t begin, std::size_t end, ProgressListener& listener) {
  std::vector<Lane> lanes;
  PassDocuments documents;
  documents.labels = std::span(text_.labels).subspan(begin, end - begin);
  documents.windows = std::span(text_.windows).subspan(begin, end - begin);
  for (std::size_t document = begin; document < end; ++document) {
    lanes.push_back({text_.windows[document].token_ids});
    documents.numbers.push_back(document);
  }
  std::vector<std::unique_ptr<StagePass>> passes;
  std::list<LaneRangeObserver> observed;
  std::vector<AttentionObserver*> observers;
  for (const auto& stage : stages_) {
    passes.push_back(stage->begin(documents));
    const LaneRange own{static_cast<int>(lanes.size()),
                        static_cast<int>(passes.back()->own_lanes().size())};
    for (const std::vector<std::int32_t>& ids : passes.back()->own_lanes()) lanes.push_back({ids});
    for (AttentionObserver* observer : passes.back()->observers()) {
      observed.emplace_back(*observer,
                            std::vector<LaneRange>{{0, static_cast<int>(end - begin)}, own});
      observers.push_back(&observed.back());
    }
  }
  const std::uint64_t forwards_before = pass_.layer_lane_forwards();
  DocumentProgress progress(listener, end - begin, lanes.size());
  pass_.run(lanes, observers, &progress);
  layer_forwards_ += (pass_.layer_lane_forwards() - forwards_before) * (end - begin) / lanes.size();
  Dataset part;
  for (const auto& pass : passes) pass->add_to(part);
  return part;
}

}  // namespace toplens
