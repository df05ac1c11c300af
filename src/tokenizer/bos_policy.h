#pragma once

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace toplens {

/// What the loaded tokenizer contributes to the BOS decision.
struct BosQuestion {
  std::filesystem::path directory;  ///< the checkpoint
  std::function<std::optional<std::int32_t>(std::string_view)> find_token;
  bool from_sentencepiece = false;  ///< the tokenizer was read from tokenizer.model
  std::optional<std::int32_t> sentencepiece_bos_id;  ///< that model's own BOS piece
  const nlohmann::json* tokenizer_json = nullptr;    ///< if it has been read already
};

struct BosDecision {
  std::optional<std::int32_t> id;
  std::string source;  ///< which file and key decided, in words
};

/// Whether a text starts with a BOS token, and which, by the first of these that speaks:
///  1. tokenizer_config.json, add_bos_token, with bos_token (or that of special_tokens_map.json, or
///     the SentencePiece model's own);
///  2. tokenizer.json, a post_processor whose template starts with a special token;
///  3. config.json, bos_token_id explicitly null: none;
///  4. tokenizer_config.json, tokenizer_class: what that class does by default;
///  5. tokenizer.model, its own BOS piece.
/// Throws Error where a file asks for a BOS that no file identifies.
BosDecision decide_bos(const BosQuestion& question);

}  // namespace toplens
