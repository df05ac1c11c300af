#include "selfcheck/read_tokens.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string_view>

#include <fmt/format.h>
#include <toplens/error.h>

#include "base/utf8.h"
#include "io/atomic_file.h"
#include "tokenizer/byte_token.h"
#include "tokenizer/tokenizer.h"

namespace toplens {
namespace {

constexpr int kDefaultLength = 512;
constexpr std::size_t kSampleBytes = 16384;

/// The first bytes of a text, cut between characters.
std::string sample_of(std::string_view text) {
  std::size_t end = 0;
  while (end < text.size() && end < kSampleBytes) end += utf8_length(text[end]);
  return std::string(text.substr(0, end));
}

TokenizerFacts facts_of(const CheckpointTokenizer& loaded, const std::vector<std::int32_t>& ids,
                        const std::string& text) {
  const Tokenizer& tokenizer = *loaded.tokenizer;
  TokenizerFacts facts;
  facts.description = tokenizer.description();
  facts.bos_id = loaded.bos_id;
  facts.bos_source = loaded.bos_source;
  facts.vocab_size = tokenizer.vocab_size();
  facts.tokens = ids.size();
  for (const std::int32_t id : ids) {
    const std::string piece = tokenizer.piece(id);
    facts.unknown += piece == "<unk>" ? 1 : 0;
    facts.bytes += parse_byte_token(std::string_view(piece).substr(0, 6)) ? 1 : 0;
  }
  facts.sample = sample_of(text);
  const std::vector<std::int32_t> sample_ids = tokenizer.encode(facts.sample);
  facts.decoded = tokenizer.decode(sample_ids);
  // What was decoded need not be UTF-8 where the tokenizer is broken.
  facts.same_ids = facts.decoded == facts.sample || (!find_invalid_utf8(facts.decoded) &&
                                                     tokenizer.encode(facts.decoded) == sample_ids);
  return facts;
}

TokenFacts facts_of(const std::vector<Document>& documents) {
  TokenFacts facts;
  std::map<std::int32_t, std::size_t> counts;
  for (const Document& document : documents) {
    for (const std::int32_t id : document.token_ids) ++counts[id];
    facts.tokens += document.token_ids.size();
  }
  if (counts.empty()) return facts;
  facts.smallest_id = counts.begin()->first;
  facts.largest_id = counts.rbegin()->first;
  for (const auto& [id, count] : counts) {
    const double share = static_cast<double>(count) / static_cast<double>(facts.tokens);
    facts.unigram_entropy -= share * std::log(share);
  }
  return facts;
}

/// Every full window, or the short ones of a text that has no full one.
std::vector<TokenWindow> windows_of(const std::vector<Document>& documents, int length,
                                    std::optional<std::int32_t> bos_id, std::size_t count) {
  std::vector<TokenWindow> windows =
      cut_windows(documents, length, bos_id, BosPolicy::window, false);
  if (windows.empty()) windows = cut_windows(documents, length, bos_id, BosPolicy::window, true);
  return sample_windows(std::move(windows), count);
}

}  // namespace

SelfCheckTokens read_self_check_tokens(const std::filesystem::path& checkpoint,
                                       const SelfCheckOptions& options, Evidence& evidence) {
  const ModelConfig& config = evidence.config;
  evidence.has_text = !options.text.empty();
  SelfCheckTokens result;
  if (config.bos_token_id) result.bos_id = static_cast<std::int32_t>(*config.bos_token_id);
  std::vector<Document> documents;
  int length = options.context_length > 0
                   ? options.context_length
                   : std::min(kDefaultLength, config.max_position_embeddings);
  std::optional<std::int32_t> added;
  if (evidence.has_text) {
    std::optional<CheckpointTokenizer> tokenizer;
    try {
      tokenizer = load_tokenizer(checkpoint);
    } catch (const Error& error) {
      evidence.tokenizer_error = error.what();
      return result;
    }
    documents = read_text_documents(options.text, *tokenizer->tokenizer);
    evidence.tokenizer =
        facts_of(*tokenizer, documents.front().token_ids, read_text_file(options.text));
    added = tokenizer->bos_id;
    if (added) result.bos_id = added;
  } else {
    documents = read_token_documents(options.tokens, config.vocab_size);
    length = static_cast<int>(documents.front().token_ids.size());
    if (length > config.max_position_embeddings) {
      throw Error(
          fmt::format("{}: rows of {} tokens, but the model's max_position_embeddings is {}",
                      options.tokens.string(), length, config.max_position_embeddings));
    }
  }
  TokenFacts facts = facts_of(documents);
  result.windows = windows_of(documents, length, added, options.windows);
  if (result.windows.empty()) {
    throw Error(fmt::format("{}: {} tokens are too few to check a model with; give a longer text",
                            (evidence.has_text ? options.text : options.tokens).string(),
                            facts.tokens));
  }
  facts.windows = result.windows.size();
  facts.window_length = result.windows.front().token_ids.size();
  result.has_bos = result.bos_id && std::all_of(result.windows.begin(), result.windows.end(),
                                                [&](const TokenWindow& window) {
                                                  return window.token_ids.front() == *result.bos_id;
                                                });
  facts.first_token = result.has_bos ? fmt::format("token {} in front", *result.bos_id) : "no BOS";
  evidence.tokens = facts;
  const bool fits = facts.smallest_id >= 0 && facts.largest_id < config.vocab_size &&
                    (!added || (*added >= 0 && *added < config.vocab_size));
  if (!fits) result.windows.clear();
  return result;
}

}  // namespace toplens
