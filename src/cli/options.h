#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <toplens/observer.h>
#include <CLI/CLI.hpp>

#include "corpus/corpus.h"
#include "geometry/separability.h"
#include "model/session.h"
#include "tokenizer/tokenizer.h"

namespace toplens {

/// --follow-links, of every command that reads a checkpoint.
void add_follow_links_to(CLI::App& command, bool& follow_links);

/// MODEL --compute --threads --memory --follow-links: of every command that runs a model.
struct EngineArguments {
  std::filesystem::path model;
  std::string compute = "auto";
  int threads = 0;
  std::string memory = "8GiB";
  bool follow_links = false;

  void add_to(CLI::App& command);
  ModelSession open() const;
  std::uint64_t memory_bytes() const;
};

/// Tokenised input and who decided about BOS.
struct LoadedText {
  std::filesystem::path path;
  std::string kind;  ///< "text", "jsonl" or "tokens"
  std::vector<Document> documents;
  std::optional<std::int32_t> bos_id;
  std::string bos_source;
  std::filesystem::path tokenizer_file;  ///< empty for tokens
  int context_length = 0;
};

/// --text | --jsonl | --tokens and --context-length.
struct TextArguments {
  std::string text, jsonl, tokens;
  int context_length = 0;

  void add_to(CLI::App& command);
  /// Reads the input. Throws UsageError if not exactly one is given or the context is longer than
  /// the model's.
  LoadedText load(const CheckpointModel& model) const;
};

/// --set-sizes --rankings --distances --metrics --queries --random-repeats --seed.
struct GeometryArguments {
  std::vector<int> set_sizes = GeometryOptions().set_sizes;
  std::vector<std::string> rankings = {"attention", "contribution", "random"};
  std::vector<std::string> distances = {"euclidean", "cosine"};
  std::vector<std::string> metrics;  ///< none given: the default of the command
  std::string queries = "last";
  int random_repeats = 16;
  std::uint64_t seed = 2027;

  void add_to(CLI::App& command, const std::string& queries_help);
  /// `inversions_by_default`, also of the random ranking: where --metrics is not given.
  GeometryOptions options(bool inversions_by_default,
                          bool random_inversions_by_default = false) const;
  /// "last", "all" or "tail:K".
  QuerySelection query_selection() const;
};

/// "all" or a comma list of layers below num_layers, in increasing order. Throws UsageError.
std::vector<int> parse_layers(const std::string& text, int num_layers);

}  // namespace toplens
