#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <tuple>
#include <vector>

#include <toplens/observer.h>

#include "model/forward_pass.h"
#include "model/output_head.h"

namespace toplens::testing {

using TokenIds = std::vector<std::int32_t>;

/// How the work is cut and by whom: none of it may matter to the numbers.
struct EngineCut {
  int threads = 1;
  std::size_t lanes_per_batch = 0;  ///< 0: all at once
  std::size_t group_rows = 8192;
};

struct EngineNumbers {
  std::vector<std::vector<float>> hidden;  ///< of each document, [length * hidden_size]
  std::vector<std::vector<double>> nll;
};

/// Runs all documents, in batches as a command would.
EngineNumbers run_engine(const CheckpointModel& model, std::span<const TokenIds> documents,
                         ComputeType compute, const EngineCut& cut,
                         std::span<AttentionObserver* const> observers = {});

/// Copies of what an observer was shown.
struct SeenHead {
  HeadView view;  ///< its spans are dangling
  int worker = 0;
  std::vector<float> attention, values, output;
};

/// Keeps everything, in the order of arrival.
class RecordingObserver : public AttentionObserver {
 public:
  explicit RecordingObserver(QuerySelection queries) : queries_(queries) {}
  QuerySelection queries() const override { return queries_; }
  void begin(const ObservedPass& pass) override { pass_ = pass; }
  void observe(const HeadView& view, int worker) override;

  const ObservedPass& pass() const { return pass_; }
  const std::vector<SeenHead>& seen() const { return seen_; }
  const SeenHead& head(int layer, int query_head, int lane) const;

 private:
  QuerySelection queries_;
  ObservedPass pass_;
  std::mutex mutex_;
  std::vector<SeenHead> seen_;
  std::map<std::tuple<int, int, int>, std::size_t> index_;
};

/// Token ids of a golden checkpoint's expected outputs.
TokenIds golden_tokens(const std::filesystem::path& model);

/// Random ids below the model's vocabulary size, one document for each length.
std::vector<TokenIds> random_documents(std::span<const std::size_t> lengths, int vocab_size,
                                       std::uint64_t seed);

}  // namespace toplens::testing
