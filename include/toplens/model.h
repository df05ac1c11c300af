#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <toplens/error.h>
#include <toplens/observer.h>

namespace toplens {

struct EngineOptions {
  int threads = 0;  ///< 0: as many as this process may use
  std::uint64_t memory_bytes = std::uint64_t{8}
                               << 30;  ///< for the engine's buffers, not the mapped weights
  std::string compute = "auto";        ///< "auto", "f32" or "bf16"
  bool follow_links = false;           ///< read files that are symbolic links out of the checkpoint
};

/// A Hugging Face checkpoint directory or a GGUF file, ready to run. Everything here throws Error.
class Model {
 public:
  static Model open(const std::filesystem::path& checkpoint, const EngineOptions& options = {});
  ~Model();
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;

  int num_layers() const;
  int num_query_heads() const;
  int num_kv_heads() const;
  int head_dim() const;
  int vocab_size() const;

  /// Token ids of a text as the checkpoint's tokenizer sees it, its BOS token first where its files
  /// say that a text starts with one. The tokenizer is read at the first call.
  std::vector<std::int32_t> tokenize(std::string_view text) const;

  /// Runs all documents through all layers and shows each head to every observer; HeadView::lane is
  /// the document's index. Documents share a pass: their residual streams must fit the memory
  /// budget.
  void run(std::span<const std::vector<std::int32_t>> documents,
           std::span<AttentionObserver* const> observers) const;

 private:
  struct State;
  explicit Model(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace toplens
