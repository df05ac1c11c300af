#include "selfcheck/tokenizer_checks.h"

#include <algorithm>
#include <cctype>
#include <string_view>

#include <fmt/format.h>

#include "base/utf8.h"

namespace toplens {
namespace {

// Shares of all tokens.
constexpr double kManyUnknown = 0.001, kTooManyUnknown = 0.05;
constexpr double kManyBytes = 0.05;
/// Embedding rows beyond the tokenizer's vocabulary are padding up to this share of it.
constexpr double kMuchPadding = 0.1;
constexpr std::size_t kShownBytes = 24;

/// Why there is nothing to judge, where there is not.
std::optional<Finding> without_tokenizer(const Evidence& evidence, bool is_first) {
  if (!evidence.has_text) {
    return Finding{CheckStatus::skipped, "token ids are used as they are; --text tries it"};
  }
  if (!evidence.tokenizer_error.empty()) {
    if (is_first) return Finding{CheckStatus::fail, evidence.tokenizer_error};
    return Finding{CheckStatus::skipped, "the tokenizer could not be read: see round trip"};
  }
  return std::nullopt;
}

std::string shown(std::string_view text, std::size_t from) {
  std::string piece = printable_utf8(text.substr(from, kShownBytes));
  std::replace_if(
      piece.begin(), piece.end(), [](unsigned char c) { return std::iscntrl(c) != 0; }, ' ');
  return "'" + piece + "'";
}

std::string without_blanks(std::string_view text) {
  std::string rest;
  for (const char c : text) {
    if (std::isspace(static_cast<unsigned char>(c)) == 0) rest += c;
  }
  return rest;
}

double share(std::size_t count, std::size_t all) {
  return all == 0 ? 0.0 : static_cast<double>(count) / static_cast<double>(all);
}

}  // namespace

Finding check_round_trip(const Evidence& evidence) {
  if (const auto skipped = without_tokenizer(evidence, true)) return *skipped;
  const TokenizerFacts& facts = *evidence.tokenizer;
  const std::string& text = facts.sample;
  const std::string& back = facts.decoded;
  if (text == back) {
    return {CheckStatus::pass,
            fmt::format("{} bytes of text come back from their tokens unchanged ({})", text.size(),
                        facts.description)};
  }
  const auto differs = std::mismatch(text.begin(), text.end(), back.begin(), back.end());
  const auto at = static_cast<std::size_t>(differs.first - text.begin());
  const std::string where =
      fmt::format("of {} bytes, the first difference is at byte {}: {} comes back as {}",
                  text.size(), at, shown(text, at), shown(back, at));
  if (without_blanks(text) == without_blanks(back)) {
    return {CheckStatus::warn, where +
                                   "; only blanks differ. The tokenizer normalises them: "
                                   "positions in the text are not positions in what was run"};
  }
  if (facts.same_ids) {
    return {CheckStatus::warn,
            where +
                "; it gives the same tokens again, so the tokenizer normalises the text. "
                "Check that this is what its files ask for"};
  }
  return {CheckStatus::fail,
          where +
              ". The tokenizer loses text: are tokenizer.model and tokenizer.json this "
              "model's, and complete?"};
}

Finding check_coverage(const Evidence& evidence) {
  if (const auto skipped = without_tokenizer(evidence, false)) return *skipped;
  const TokenizerFacts& facts = *evidence.tokenizer;
  const double unknown = share(facts.unknown, facts.tokens),
               bytes = share(facts.bytes, facts.tokens);
  const std::string found = fmt::format("of {} tokens {:.2f} % are unknown, {:.2f} % single bytes",
                                        facts.tokens, 100.0 * unknown, 100.0 * bytes);
  const std::string limits = fmt::format(" (expected below {:.1f} % and {:.0f} %)",
                                         100.0 * kManyUnknown, 100.0 * kManyBytes);
  if (unknown >= kTooManyUnknown) {
    return {CheckStatus::fail,
            found + limits +
                ". The tokenizer does not belong to this text: try another text, or "
                "see that the tokenizer is the model's"};
  }
  if (unknown >= kManyUnknown || bytes >= kManyBytes) {
    return {CheckStatus::warn, found + limits +
                                   ". The text is of another language or kind than "
                                   "the vocabulary was made for"};
  }
  return {CheckStatus::pass, found + limits};
}

Finding check_vocabulary(const Evidence& evidence) {
  if (!evidence.tokens) {
    return {CheckStatus::skipped, "the tokenizer could not be read: see round trip"};
  }
  const TokenFacts& tokens = *evidence.tokens;
  const int rows = evidence.config.vocab_size;
  const std::string ids = fmt::format("ids {} to {} occur, the embedding has {} rows",
                                      tokens.smallest_id, tokens.largest_id, rows);
  if (tokens.largest_id >= rows) {
    return {CheckStatus::fail,
            ids +
                ". The tokenizer is another model's, or tokens were added to it without "
                "enlarging the model"};
  }
  if (!evidence.tokenizer) return {CheckStatus::pass, ids};
  const int known = evidence.tokenizer->vocab_size;
  const std::string sizes = fmt::format("{}, the tokenizer {} tokens", ids, known);
  if (known > rows) {
    return {CheckStatus::warn,
            fmt::format("{}: {} tokens have no row, and a text with one of them cannot be run",
                        sizes, known - rows)};
  }
  if (static_cast<double>(rows - known) > kMuchPadding * static_cast<double>(rows)) {
    return {CheckStatus::warn,
            fmt::format("{}: {} rows have no token (expected at most {:.0f} %). See that the "
                        "tokenizer is this model's and complete",
                        sizes, rows - known, 100.0 * kMuchPadding)};
  }
  return {CheckStatus::pass, sizes};
}

Finding check_bos(const Evidence& evidence) {
  if (const auto skipped = without_tokenizer(evidence, false)) return *skipped;
  const TokenizerFacts& facts = *evidence.tokenizer;
  const std::optional<int>& configured = evidence.config.bos_token_id;
  const std::string config = configured ? fmt::format("config.json: bos_token_id {}", *configured)
                                        : "config.json names none";
  if (!facts.bos_id) {
    return {CheckStatus::pass, fmt::format("no BOS is added ({}); {}", facts.bos_source, config)};
  }
  const std::string added =
      fmt::format("token {} is put in front of every window ({})", *facts.bos_id, facts.bos_source);
  if (*facts.bos_id < 0 || *facts.bos_id >= evidence.config.vocab_size) {
    return {CheckStatus::fail,
            fmt::format("{}, but the embedding has {} rows", added, evidence.config.vocab_size)};
  }
  if (configured && *configured != *facts.bos_id) {
    return {CheckStatus::fail,
            fmt::format("{}, but {}: they name different tokens. One of the files is not this "
                        "model's; see 'BOS effect'",
                        added, config)};
  }
  return {CheckStatus::pass, fmt::format("{}; {}", added, config)};
}

}  // namespace toplens
