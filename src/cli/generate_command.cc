#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/name_table.h"
#include "base/random.h"
#include "checkpoint/random_checkpoint.h"
#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/terminal.h"
#include "cli/usage_error.h"
#include "io/npy.h"
#include "model/model_config.h"
#include "model/random_model.h"
#include "parallel/memory.h"
#include "parallel/thread_pool.h"

namespace toplens {
namespace {

constexpr std::array<NamedKind<DataType>, 3> kDtypeNames = {{
    {DataType::bf16, "bf16"},
    {DataType::f16, "f16"},
    {DataType::f32, "f32"},
}};

struct ShapeOption {
  const char* option;
  const char* key;  ///< of config.json
  const char* help;
};

constexpr std::array<ShapeOption, 9> kShapeOptions = {{
    {"--layers", "num_hidden_layers", "Layers"},
    {"--hidden-size", "hidden_size", "Width of the residual stream"},
    {"--intermediate-size", "intermediate_size", "Width of the MLP"},
    {"--query-heads", "num_attention_heads",
     "Query heads (also kv heads where the shape has as many of them)"},
    {"--kv-heads", "num_key_value_heads", "Key and value heads"},
    {"--head-dim", "head_dim", "Dimension of a head (default: hidden size / query heads)"},
    {"--vocab-size", "vocab_size", "Tokens in the vocabulary"},
    {"--max-position-embeddings", "max_position_embeddings", "Longest context"},
    {"--sliding-window", "sliding_window", "Sliding window (Mistral)"},
}};

struct Arguments {
  std::string shape;
  std::string out;
  std::array<int, kShapeOptions.size()> values{};  ///< 0: as the shape has it
  std::string dtype = "bf16";
  std::string shard_size = "5GB";
  std::uint64_t seed = 2027;
  int threads = 0;
  int token_documents = 0;
  int context_length = 0;
};

/// Bytes written, now and then on standard error; also where an interrupt is noticed.
class GenerateProgress : public ProgressListener {
 public:
  void advance(std::uint64_t done, std::uint64_t total) override {
    check_interrupt();
    const auto now = std::chrono::steady_clock::now();
    if (now - shown_ < std::chrono::seconds(10)) return;
    shown_ = now;
    const double elapsed = std::chrono::duration<double>(now - start_).count();
    const double left =
        elapsed * static_cast<double>(total - done) / std::max(static_cast<double>(done), 1.0);
    print_note(fmt::format("{:3.0f}%  {} left",
                           100.0 * static_cast<double>(done) / static_cast<double>(total),
                           format_duration(left)));
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point shown_ = start_;
};

std::vector<ShapeChange> changes_of(const Arguments& arguments) {
  std::vector<ShapeChange> changes;
  for (std::size_t i = 0; i < kShapeOptions.size(); ++i) {
    if (arguments.values[i] > 0) changes.push_back({kShapeOptions[i].key, arguments.values[i]});
  }
  return changes;
}

void add_tokens(RandomCheckpoint& checkpoint, const Arguments& arguments) {
  if (arguments.token_documents == 0) {
    if (arguments.context_length != 0) {
      throw UsageError("--context-length is the length of --token-documents, which is not given");
    }
    return;
  }
  const ModelConfig config = parse_model_config(checkpoint.config_json, "config.json");
  const int length = arguments.context_length != 0 ? arguments.context_length
                                                   : std::min(1024, config.max_position_embeddings);
  if (length > config.max_position_embeddings) {
    throw UsageError(
        fmt::format("--context-length {} is more than the model's max_position_embeddings of {}",
                    length, config.max_position_embeddings));
  }
  const auto documents = static_cast<std::uint64_t>(arguments.token_documents);
  std::vector<std::int32_t> ids(documents * static_cast<std::uint64_t>(length));
  Random random(arguments.seed);
  for (std::int32_t& id : ids) {
    id = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(config.vocab_size)));
  }
  checkpoint.other_files.push_back(
      {"tokens.npy", npy_bytes({documents, static_cast<std::uint64_t>(length)}, ids)});
}

void run(const Arguments& arguments) {
  RandomCheckpoint checkpoint = from_command_line([&] {
    return random_model(arguments.shape, changes_of(arguments),
                        parse_name(kDtypeNames, "dtype", arguments.dtype), arguments.seed);
  });
  checkpoint.shard_bytes = from_command_line([&] { return parse_bytes(arguments.shard_size); });
  add_tokens(checkpoint, arguments);
  const std::uint64_t bytes = disk_bytes(checkpoint);
  print_note(fmt::format("writing {} to {}", format_bytes(bytes), arguments.out));
  ThreadPool pool(arguments.threads > 0 ? arguments.threads : available_threads());
  GenerateProgress progress;
  write_random_checkpoint(arguments.out, checkpoint, pool, &progress);
  const std::string tokens = arguments.token_documents > 0 ? arguments.out + "/tokens.npy" : "FILE";
  print_output(fmt::format(
      "{}: {} tensors of {}, {} on disk. It has no tokenizer: give token ids to the "
      "other commands, with --tokens {}\n",
      arguments.out, checkpoint.tensors.size(), arguments.dtype, format_bytes(bytes), tokens));
}

}  // namespace

void add_generate_command(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *app.add_subcommand(
      "generate",
      "Write a checkpoint of random weights with the shape of a published model, for trying sizes "
      "and speed; it has no tokenizer, so the other commands take --tokens");
  command.add_option("SHAPE", arguments->shape, "One of " + random_model_shapes())->required();
  command.add_option("--out", arguments->out, "Directory for the checkpoint, new or empty")
      ->required();
  for (std::size_t i = 0; i < kShapeOptions.size(); ++i) {
    command.add_option(kShapeOptions[i].option, arguments->values[i], kShapeOptions[i].help)
        ->check(CLI::PositiveNumber);
  }
  command.add_option("--dtype", arguments->dtype, "Type of the weights: bf16, f16 or f32")
      ->capture_default_str();
  command
      .add_option("--shard-size", arguments->shard_size,
                  "Tensors beyond this go to further files, with an index")
      ->capture_default_str();
  command.add_option("--seed", arguments->seed, "The same seed gives the same bytes")
      ->capture_default_str();
  command.add_option("--threads", arguments->threads, "Threads; 0: all that this process may use")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  command
      .add_option("--token-documents", arguments->token_documents,
                  "Also write tokens.npy with this many documents of random token ids")
      ->check(CLI::Range(1, 1'000'000));
  command
      .add_option("--context-length", arguments->context_length,
                  "Tokens of each of these documents (default: 1024, or the longest context)")
      ->check(CLI::PositiveNumber);
  command.callback([&action, arguments] { action = [arguments] { run(*arguments); }; });
}

}  // namespace toplens
