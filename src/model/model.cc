#include <toplens/model.h>

#include <algorithm>

#include "checkpoint/checkpoint_links.h"
#include "model/session.h"
#include "tokenizer/tokenizer.h"

namespace toplens {

struct Model::State {
  State(const std::filesystem::path& directory, const EngineOptions& options)
      : session(directory, options.threads, options.memory_bytes,
                parse_compute_mode(options.compute)) {}
  ModelSession session;
  CheckpointTokenizer tokenizer;
};

Model::Model(std::unique_ptr<State> state) : state_(std::move(state)) {}
Model::~Model() = default;
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;

Model Model::open(const std::filesystem::path& checkpoint, const EngineOptions& options) {
  if (!options.follow_links) check_links(checkpoint);
  return Model(std::make_unique<State>(checkpoint, options));
}

int Model::num_layers() const { return state_->session.config().num_layers; }
int Model::num_query_heads() const { return state_->session.config().num_query_heads; }
int Model::num_kv_heads() const { return state_->session.config().num_kv_heads; }
int Model::head_dim() const { return state_->session.config().head_dim; }
int Model::vocab_size() const { return state_->session.config().vocab_size; }

std::vector<std::int32_t> Model::tokenize(std::string_view text) const {
  CheckpointTokenizer& tokenizer = state_->tokenizer;
  if (!tokenizer.tokenizer) tokenizer = load_tokenizer(state_->session.model().directory());
  std::vector<std::int32_t> ids = tokenizer.tokenizer->encode(text);
  if (tokenizer.bos_id) ids.insert(ids.begin(), *tokenizer.bos_id);
  return ids;
}

void Model::run(std::span<const std::vector<std::int32_t>> documents,
                std::span<AttentionObserver* const> observers) const {
  if (documents.empty()) return;
  ModelSession& session = state_->session;
  std::vector<Lane> lanes;
  std::vector<std::size_t> lengths;
  for (const std::vector<std::int32_t>& ids : documents) {
    if (ids.empty()) throw Error("a document without tokens cannot be run");
    lanes.push_back({ids});
    lengths.push_back(ids.size());
  }
  EngineDemand demand;
  demand.lanes_wanted = static_cast<int>(lanes.size());
  demand.kept_queries =
      kept_queries(observers, static_cast<int>(*std::max_element(lengths.begin(), lengths.end())));
  const EnginePlan plan = session.plan(lengths, demand);
  if (plan.lanes_per_batch < demand.lanes_wanted) {
    throw Error("the documents do not fit the memory budget together: run at most " +
                std::to_string(plan.lanes_per_batch) + " of these at once");
  }
  ForwardPass(session.model(), session.pool(), plan).run(lanes, observers);
}

}  // namespace toplens
