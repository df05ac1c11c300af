#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/decoder.h"
#include "tokenizer/normalizer.h"
#include "tokenizer/pre_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace toplens {

/// What a tokenizer.json says, parsed.
struct HfTokenizerSpec {
  std::string source = "tokenizer.json";  ///< for description()
  std::vector<AddedToken> added_tokens;
  Normalizer normalizer;
  PreTokenizer pre_tokenizer;
  BpeSpec model;
  Decoder decoder;
};

/// A BPE tokenizer of a tokenizer.json: added tokens, normalizer, pre-tokenizer, merges, decoder.
class HfTokenizer : public Tokenizer {
 public:
  /// `where` names the file in messages. Throws Error on contradictory ids.
  HfTokenizer(HfTokenizerSpec spec, const std::string& where);

  std::vector<std::int32_t> encode(std::string_view text) const override;
  /// Special tokens stand for no text.
  std::string decode(std::span<const std::int32_t> ids) const override;
  std::string piece(std::int32_t id) const override;
  int vocab_size() const override { return vocab_size_; }
  std::string description() const override;

  std::optional<std::int32_t> find_token(std::string_view content) const;

 private:
  struct Token {
    std::string content;
    bool added = false;
    bool special = false;
  };
  const Token& token(std::int32_t id) const;

  std::string where_;
  std::string source_;
  std::vector<AddedToken> added_list_;
  Normalizer normalizer_;
  AddedTokens added_tokens_;
  PreTokenizer pre_tokenizer_;
  Bpe model_;
  Decoder decoder_;
  bool byte_fallback_ = false;
  std::unordered_map<std::int32_t, Token> tokens_;
  StringMap<std::int32_t> added_ids_;
  int vocab_size_ = 0;
};

}  // namespace toplens
