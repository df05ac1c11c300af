#include "tokenizer/gguf_tokenizer.h"

#include <fmt/format.h>
#include <toplens/error.h>

#include <algorithm>
#include <array>

#include "base/utf8.h"
#include "io/json_text.h"
#include "tokenizer/hf_tokenizer.h"
#include "tokenizer/sentencepiece_tokenizer.h"
#include "tokenizer/sentencepiece_writer.h"

namespace toplens {
namespace {

using PieceType = SentencePieceModel::PieceType;

constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kTypes = "tokenizer.ggml.token_type";
constexpr std::int64_t kMostTokens = 1 << 24;

/// A pre-tokenizer that tokenizer.ggml.pre may name.
struct PreTokenizerKind {
  std::string_view name;
  const char* pattern;
  bool normalizes;     ///< to NFC, as the published tokenizer does
  bool ignore_merges;  ///< a pre-token that is in the vocabulary is that token
  bool adds_bos;       ///< where the file does not say
};

constexpr std::array<PreTokenizerKind, 3> kPreTokenizers = {{
    {"gpt-2", kGpt2Pattern, false, false, false},
    {"llama-bpe",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
     R"(|\s*[\r\n]+|\s+(?!\S)|\s+)",
     false, true, true},
    {"qwen2",
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
     R"(|\s*[\r\n]+|\s+(?!\S)|\s+)",
     true, false, false},
}};

const PreTokenizerKind& read_pre_tokenizer(const GgufMetadata& metadata) {
  constexpr const char* kKey = "tokenizer.ggml.pre";
  const std::string_view name = metadata.text(kKey);
  std::string known;
  for (const PreTokenizerKind& kind : kPreTokenizers) {
    if (kind.name == name) return kind;
    known += (known.empty() ? "" : ", ") + std::string(kind.name);
  }
  metadata.fail(kKey, fmt::format("one of {} (the supported pre-tokenizers)", known));
}

struct Vocabulary {
  std::vector<std::string_view> tokens;
  std::vector<PieceType> types;  ///< normal where the file says nothing
};

Vocabulary read_vocabulary(const GgufMetadata& metadata) {
  Vocabulary vocabulary;
  vocabulary.tokens = metadata.texts(kTokens);
  const std::size_t size = vocabulary.tokens.size();
  if (size == 0 || size > static_cast<std::size_t>(kMostTokens)) {
    metadata.fail(kTokens, fmt::format("1 to {} tokens", kMostTokens));
  }
  vocabulary.types.assign(size, PieceType::normal);
  if (!metadata.has(kTypes)) return vocabulary;
  const std::vector<std::int64_t> types = metadata.integers(kTypes);
  if (types.size() != size) metadata.fail(kTypes, fmt::format("one for each of {} tokens", size));
  for (std::size_t i = 0; i < size; ++i) {
    if (types[i] < 1 || types[i] > 6) {
      metadata.fail(kTypes, fmt::format("numbers from 1 to 6, but token {} has {}", i, types[i]));
    }
    vocabulary.types[i] = static_cast<PieceType>(types[i]);
  }
  return vocabulary;
}

std::optional<std::int32_t> read_id(const GgufMetadata& metadata, const char* key,
                                    const Vocabulary& vocabulary) {
  if (!metadata.has(key)) return std::nullopt;
  const auto last = static_cast<std::int64_t>(vocabulary.tokens.size()) - 1;
  return static_cast<std::int32_t>(metadata.integer(key, 0, last));
}

/// Decides about BOS: add_bos_token, else what is usual for the kind of tokenizer.
CheckpointTokenizer with_bos(std::unique_ptr<Tokenizer> tokenizer, const GgufMetadata& metadata,
                             const Vocabulary& vocabulary, bool usual,
                             const std::filesystem::path& file) {
  constexpr const char* kAddBos = "tokenizer.ggml.add_bos_token";
  constexpr const char* kBosId = "tokenizer.ggml.bos_token_id";
  const bool says = metadata.has(kAddBos);
  const bool adds = metadata.boolean(kAddBos, usual);
  const auto id = read_id(metadata, kBosId, vocabulary);
  std::string source = says ? fmt::format("{} is {}", kAddBos, adds)
                            : fmt::format("{} is absent, which means {}", kAddBos, usual);
  if (adds && !id) {
    if (says) {
      throw Error(fmt::format("{}: {} is true, but {} is missing", metadata.where(),
                              in_quotes(kAddBos), in_quotes(kBosId)));
    }
    source += fmt::format(", but there is no {}", kBosId);
  }
  if (!adds || !id) return {std::move(tokenizer), std::nullopt, file, std::move(source)};
  source += fmt::format("; bos_token_id {}", in_quotes(tokenizer->piece(*id)));
  return {std::move(tokenizer), id, file, std::move(source)};
}

CheckpointTokenizer from_sentencepiece(const GgufMetadata& metadata, const Vocabulary& vocabulary,
                                       const std::filesystem::path& file) {
  constexpr const char* kScores = "tokenizer.ggml.scores";
  if (metadata.has("tokenizer.ggml.precompiled_charsmap")) {
    metadata.fail("tokenizer.ggml.precompiled_charsmap", "none (all that is supported)");
  }
  const std::vector<float> scores = metadata.floats(kScores);
  const std::size_t size = vocabulary.tokens.size();
  if (scores.size() != size) metadata.fail(kScores, fmt::format("one for each of {} tokens", size));
  // The converter writes added symbols with blanks, where SentencePiece has U+2581.
  std::vector<std::string> with_blanks;
  with_blanks.reserve(size);  // views into it stay valid
  std::vector<ScoredPiece> pieces;
  for (std::size_t i = 0; i < size; ++i) {
    std::string_view text = vocabulary.tokens[i];
    if (vocabulary.types[i] == PieceType::user_defined && text.find(' ') != text.npos) {
      std::string& changed = with_blanks.emplace_back();
      for (const char letter : text) {
        if (letter == ' ') {
          changed += kSentencePieceBlank;
        } else {
          changed += letter;
        }
      }
      text = changed;
    }
    pieces.push_back({text, scores[i], vocabulary.types[i]});
  }
  SentencePieceOptions options;
  options.bos_id = read_id(metadata, "tokenizer.ggml.bos_token_id", vocabulary);
  options.eos_id = read_id(metadata, "tokenizer.ggml.eos_token_id", vocabulary);
  options.add_dummy_prefix = metadata.boolean("tokenizer.ggml.add_space_prefix", true);
  options.remove_extra_whitespaces =
      metadata.boolean("tokenizer.ggml.remove_extra_whitespaces", false);
  auto tokenizer = std::make_unique<SentencePieceTokenizer>(
      write_sentencepiece_model(pieces, options), metadata.where(), "SentencePiece model in GGUF");
  return with_bos(std::move(tokenizer), metadata, vocabulary, true, file);
}

void read_bpe_vocabulary(const GgufMetadata& metadata, const Vocabulary& vocabulary,
                         HfTokenizerSpec& spec) {
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    const std::string token(vocabulary.tokens[i]);
    const auto id = static_cast<std::int32_t>(i);
    if (token.empty() || find_invalid_utf8(token)) {
      throw Error(fmt::format("{}: token {} ({}) of {} is no text", metadata.where(), i,
                              in_quotes(printable_utf8(token)), in_quotes(kTokens)));
    }
    const auto [existing, inserted] = spec.model.vocab.emplace(token, id);
    if (!inserted) {
      throw Error(fmt::format("{}: tokens {} and {} of {} are both {}", metadata.where(),
                              existing->second, i, in_quotes(kTokens), in_quotes(token)));
    }
    if (vocabulary.types[i] == PieceType::normal) continue;
    AddedToken added;
    added.id = id;
    added.content = token;
    added.special = vocabulary.types[i] != PieceType::user_defined;
    added.normalized = false;
    spec.added_tokens.push_back(std::move(added));
  }
}

CheckpointTokenizer from_byte_level(const GgufMetadata& metadata, const Vocabulary& vocabulary,
                                    const std::filesystem::path& file) {
  constexpr const char* kMerges = "tokenizer.ggml.merges";
  const PreTokenizerKind& kind = read_pre_tokenizer(metadata);
  HfTokenizerSpec spec;
  spec.source = fmt::format("GGUF, {}", kind.name);
  spec.model.ignore_merges = kind.ignore_merges;
  read_bpe_vocabulary(metadata, vocabulary, spec);
  for (const std::string_view merge : metadata.texts(kMerges)) {
    const std::size_t blank = merge.find(' ');
    if (blank == merge.npos || merge.find(' ', blank + 1) != merge.npos) {
      throw Error(fmt::format("{}: merge {} of {} is {}, expected two tokens with a blank between",
                              metadata.where(), spec.model.merges.size(), in_quotes(kMerges),
                              in_quotes(printable_utf8(merge))));
    }
    spec.model.merges.emplace_back(merge.substr(0, blank), merge.substr(blank + 1));
  }
  if (kind.normalizes) spec.normalizer = Normalizer({UnicodeForm::nfc});
  const std::string where = metadata.where() + ": tokenizer.ggml.pre";
  std::vector<PreTokenizerStep> steps;
  steps.emplace_back(
      SplitStep{Regex::compile(kind.pattern, where), SplitBehavior::isolated, false});
  steps.emplace_back(ByteLevelStep{false, std::nullopt});
  spec.pre_tokenizer = PreTokenizer(std::move(steps));
  spec.decoder = Decoder({ByteLevelDecoder{}});
  auto tokenizer = std::make_unique<HfTokenizer>(std::move(spec), metadata.where());
  return with_bos(std::move(tokenizer), metadata, vocabulary, kind.adds_bos, file);
}

}  // namespace

CheckpointTokenizer gguf_tokenizer(const GgufMetadata& metadata,
                                   const std::filesystem::path& file) {
  constexpr const char* kModel = "tokenizer.ggml.model";
  if (!metadata.has(kModel)) {
    throw Error(fmt::format("{}: the file has no tokenizer (key {} is missing)", metadata.where(),
                            in_quotes(kModel)));
  }
  const std::string_view model = metadata.text(kModel);
  if (model != "llama" && model != "gpt2") {
    metadata.fail(kModel, "llama or gpt2 (the supported tokenizers)");
  }
  const Vocabulary vocabulary = read_vocabulary(metadata);
  return model == "llama" ? from_sentencepiece(metadata, vocabulary, file)
                          : from_byte_level(metadata, vocabulary, file);
}

}  // namespace toplens
