#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <toplens/observer.h>

#include "geometry/separability.h"
#include "model/session.h"
#include "parallel/progress.h"

namespace toplens::bench {

/// Documents of random token ids as `toplens generate --token-documents` wrote them.
std::vector<std::vector<std::int32_t>> read_documents(const std::filesystem::path& tokens,
                                                      std::size_t most);

/// One forward pass over the documents with an observer or without, all documents together.
class PassRunner {
 public:
  PassRunner(ModelSession& session, std::vector<std::vector<std::int32_t>> documents);

  struct Timing {
    double seconds = 0;
    double observing_seconds = 0;  ///< of all workers together, inside the observer
  };
  Timing plain();
  /// With what `between` does after every layer, which the time leaves out: a machine that others
  /// share changes its speed within seconds, so a limit is measured in turns with what it bounds.
  Timing plain(const std::function<void()>& between);
  /// The documents twice, each layer of the plain ones before that of the others: seconds of both.
  struct InTurns {
    double plain_seconds = 0;
    double other_seconds = 0;
    double extra_seconds() const { return other_seconds - plain_seconds; }
    double extra_share() const { return extra_seconds() / plain_seconds; }
  };
  /// The others with every head's attention cut to the top `set_size` by attention, the rest
  /// deleted.
  InTurns treated(int set_size);
  /// The others with the geometry of every head at these queries.
  InTurns measured(const GeometryOptions& options, QuerySelection queries);
  /// With the geometry of every head at these queries.
  Timing geometry(const GeometryOptions& options, QuerySelection queries);

  /// With signatures, measures of others and detectors of every head as analyze has them, the
  /// detectors' sequences as lanes of their own.
  Timing measures(QuerySelection queries);
  /// With the records that the theory takes of the final query.
  Timing theory_records();
  /// Operations of the detectors' lanes over those of the documents.
  double detector_share() const;

  double operations() const;  ///< the model's own, of one pass
  double tokens() const;

 private:
  Timing run(std::span<AttentionObserver* const> observers,
             std::span<const std::vector<std::int32_t>> own_lanes,
             ProgressListener* progress = nullptr);
  InTurns in_turns(const Treatment* treatment, AttentionObserver* observer);

  ModelSession& session_;
  std::vector<std::vector<std::int32_t>> documents_;
};

/// A scan of every layer of one document (the top 64 by attention, the rest deleted) with the
/// untreated lane: forked where a treatment starts, or every lane from layer 0.
class LayerScanRunner {
 public:
  LayerScanRunner(ModelSession& session, std::vector<std::int32_t> document);
  double forked_seconds() { return seconds(true); }
  double from_layer_0_seconds() { return seconds(false); }

 private:
  double seconds(bool forks);
  ModelSession& session_;
  std::vector<std::int32_t> document_;
  std::vector<Treatment> treatments_;
};

/// What `analyze` measures by default, at the final query.
GeometryOptions final_query_geometry();
/// Attention ranking, Euclidean, sizes 1 to 256 in powers of two, without inversions.
GeometryOptions all_queries_geometry();

/// Attention of one layer alone: rotation, scores, softmax and weighted sums of every head of
/// `documents` documents of `length` tokens of random projections.
class AttentionRunner {
 public:
  AttentionRunner(ModelSession& session, std::size_t documents, std::size_t length);
  ~AttentionRunner();
  double seconds();
  double operations() const;  ///< of causal scores and sums

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Seconds for each row, on one thread, of putting the first `count` of rows of softmax weights in
/// order, and of one pass over the same rows (their greatest element): what no selection is below.
struct SelectionTiming {
  double select_seconds = 0;
  double pass_seconds = 0;
};
SelectionTiming select_top(std::size_t length, std::size_t count);

}  // namespace toplens::bench
