#include "cli/options.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include <fmt/format.h>

#include "checkpoint/checkpoint_links.h"
#include "cli/usage_error.h"
#include "parallel/memory.h"

namespace toplens {
namespace {

std::optional<int> parse_integer(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

void add_follow_links_to(CLI::App& command, bool& follow_links) {
  command.add_flag(
      "--follow-links", follow_links,
      "Read files of the checkpoint that are symbolic links out of its directory, which "
      "are refused else (those of a Hugging Face cache are not)");
}

void EngineArguments::add_to(CLI::App& command) {
  command
      .add_option("MODEL", model,
                  "Checkpoint directory as Hugging Face ships it (config.json, safetensors, "
                  "tokenizer), or a "
                  ".gguf file")
      ->required()
      ->type_name("DIR|GGUF");
  command
      .add_option("--compute", compute,
                  "Arithmetic of the matrix products: bf16, f32 (for parity), or auto: bf16 for "
                  "BF16, F16 and quantised checkpoints where the machine is fast at it")
      ->type_name("MODE")
      ->capture_default_str();
  command.add_option("--threads", threads, "Threads; 0: all that this process may use")
      ->check(CLI::Range(0, 4096))
      ->type_name("K")
      ->capture_default_str();
  command
      .add_option("--memory", memory,
                  "Memory for activations and buffers, as in 8GiB; the weights stay in the mapped "
                  "files. A smaller budget means smaller batches, with the same results")
      ->type_name("BYTES")
      ->capture_default_str();
  add_follow_links_to(command, follow_links);
}

std::uint64_t EngineArguments::memory_bytes() const {
  return from_command_line([&] { return parse_bytes(memory); });
}

ModelSession EngineArguments::open() const {
  const ComputeMode mode = from_command_line([&] { return parse_compute_mode(compute); });
  if (!follow_links) check_links(model);
  return ModelSession(model, threads, memory_bytes(), mode);
}

void TextArguments::add_to(CLI::App& command) {
  command.add_option("--text", text, "UTF-8 text file, read verbatim as one document")
      ->type_name("FILE");
  command
      .add_option("--jsonl", jsonl, "JSON-lines file, one document per line under the key \"text\"")
      ->type_name("FILE");
  command
      .add_option("--tokens", tokens,
                  "Token ids instead of text: a .npy file, int32 or int64, [T] or [documents, "
                  "T], used as they are, no BOS added")
      ->type_name("FILE");
  command
      .add_option("--context-length", context_length,
                  "Tokens per document, BOS included (default: 1024 or the model's maximum, if "
                  "that is less; T for --tokens)")
      ->check(CLI::Range(2, 1 << 30))
      ->type_name("T");
}

LoadedText TextArguments::load(const CheckpointModel& model) const {
  const int given = int{!text.empty()} + int{!jsonl.empty()} + int{!tokens.empty()};
  if (given != 1) {
    throw UsageError(fmt::format("{} of --text, --jsonl and --tokens {}; give exactly one",
                                 given == 0 ? "none" : "more than one",
                                 given == 0 ? "is given" : "are given"));
  }
  const ModelConfig& config = model.config();
  LoadedText loaded;
  if (!tokens.empty()) {
    loaded.path = tokens;
    loaded.kind = "tokens";
    loaded.bos_source = "token ids are used as they are";
    loaded.documents = read_token_documents(tokens, config.vocab_size);
    loaded.context_length = static_cast<int>(loaded.documents.front().token_ids.size());
    if (context_length != 0 && context_length != loaded.context_length) {
      throw UsageError(
          fmt::format("--context-length {} does not fit {}, whose rows hold {} tokens "
                      "and are used as they are: leave the option out",
                      context_length, tokens, loaded.context_length));
    }
    if (loaded.context_length > config.max_position_embeddings) {
      throw Error(
          fmt::format("{}: rows of {} tokens, but the model's max_position_embeddings is {}",
                      tokens, loaded.context_length, config.max_position_embeddings));
    }
    return loaded;
  }
  loaded.context_length =
      context_length != 0 ? context_length : std::min(1024, config.max_position_embeddings);
  if (loaded.context_length > config.max_position_embeddings) {
    throw UsageError(
        fmt::format("--context-length {} is more than the model's "
                    "max_position_embeddings of {}",
                    context_length, config.max_position_embeddings));
  }
  const CheckpointTokenizer tokenizer = load_tokenizer(model.directory());
  loaded.bos_id = tokenizer.bos_id;
  loaded.bos_source = tokenizer.bos_source;
  loaded.tokenizer_file = tokenizer.file;
  loaded.path = text.empty() ? jsonl : text;
  loaded.kind = text.empty() ? "jsonl" : "text";
  loaded.documents = text.empty() ? read_jsonl_documents(jsonl, *tokenizer.tokenizer)
                                  : read_text_documents(text, *tokenizer.tokenizer);
  for (const Document& document : loaded.documents) {
    for (const std::int32_t id : document.token_ids) {
      if (id < 0 || id >= config.vocab_size) {
        throw Error(
            fmt::format("{}: the tokenizer {} gives token id {}, but the model's "
                        "vocab_size is {}: they do not belong together",
                        document.name, tokenizer.file.string(), id, config.vocab_size));
      }
    }
  }
  return loaded;
}

void GeometryArguments::add_to(CLI::App& command, const std::string& queries_help) {
  command.add_option("--set-sizes", set_sizes, "Numbers N of selected tokens, as in 2,8,32")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LIST")
      ->capture_default_str();
  command
      .add_option(
          "--rankings", rankings,
          "What selects the tokens: attention, contribution (weight times value norm), random")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LIST")
      ->capture_default_str();
  command.add_option("--distances", distances, "euclidean, cosine")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LIST")
      ->capture_default_str();
  command
      .add_option("--metrics", metrics,
                  "precision, recall, f_score, margin, inversions. The first four come together at "
                  "no extra cost; inversions cost more and are NaN where they are not in the list. "
                  "Default: all; of analyze without the random control's inversions, and at more "
                  "than the final query without any")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LIST");
  command.add_option("--queries", queries, queries_help)->type_name("WHICH")->capture_default_str();
  command.add_option("--random-repeats", random_repeats, "Random rankings averaged at each query")
      ->check(CLI::Range(1, 1000000))
      ->type_name("R")
      ->capture_default_str();
  command.add_option("--seed", seed, "Seed of the random rankings and of the bootstrap")
      ->check([](const std::string& text) {
        // Would be taken modulo 2^64.
        return text.rfind('-', 0) == 0 ? "'" + text + "' is below 0" : std::string();
      })
      ->capture_default_str();
}

GeometryOptions GeometryArguments::options(bool inversions_by_default,
                                           bool random_inversions_by_default) const {
  return from_command_line([&] {
    GeometryOptions options;
    options.set_sizes = set_sizes;
    // A coordinate of the results, and read as a curve by the summary.
    std::sort(options.set_sizes.begin(), options.set_sizes.end());
    options.rankings.clear();
    for (const std::string& ranking : rankings) options.rankings.push_back(parse_ranking(ranking));
    options.distances.clear();
    for (const std::string& distance : distances) {
      options.distances.push_back(parse_distance(distance));
    }
    options.with_inversions = metrics.empty() && inversions_by_default;
    for (const std::string& metric : metrics) {
      if (parse_geometry_metric(metric) == GeometryMetric::inversions)
        options.with_inversions = true;
    }
    options.random_inversions =
        metrics.empty() ? random_inversions_by_default : options.with_inversions;
    options.random_repeats = random_repeats;
    options.seed = seed;
    check(options);
    return options;
  });
}

QuerySelection GeometryArguments::query_selection() const {
  if (queries == "last") return QuerySelection::last();
  if (queries == "all") return QuerySelection::all();
  if (queries.rfind("tail:", 0) == 0) {
    const std::optional<int> count = parse_integer(std::string_view(queries).substr(5));
    if (count && *count > 0) return QuerySelection::tail(*count);
  }
  throw UsageError(
      fmt::format("--queries '{}' is not known; expected last, all or tail:K", queries));
}

std::vector<int> parse_layers(const std::string& text, int num_layers) {
  std::vector<int> layers;
  if (text == "all") {
    layers.resize(static_cast<std::size_t>(num_layers));
    std::iota(layers.begin(), layers.end(), 0);
    return layers;
  }
  for (std::size_t first = 0; first <= text.size();) {
    const std::size_t comma = std::min(text.find(',', first), text.size());
    const std::string item = text.substr(first, comma - first);
    const std::optional<int> layer = parse_integer(item);
    if (!layer || *layer < 0 || *layer >= num_layers) {
      throw UsageError(
          fmt::format("--layers '{}': '{}' is no layer; expected all or a comma list of 0 to {}",
                      text, item, num_layers - 1));
    }
    layers.push_back(*layer);
    first = comma + 1;
  }
  std::sort(layers.begin(), layers.end());
  layers.erase(std::unique(layers.begin(), layers.end()), layers.end());
  return layers;
}

}  // namespace toplens
