#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/sentencepiece_model.h"
#include "tokenizer/tokenizer.h"

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace toplens {

/// A SentencePiece `tokenizer.model`. Control pieces ("<s>", Mistral's "[INST]") are never produced
/// from text; user-defined symbols are. decode(encode(text)) is `text` for models with the identity
/// normalizer (LLaMA-2, Mistral, Gemma), except that U+2581 in a text comes back as a blank: it is
/// the character SentencePiece writes blanks with.
class SentencePieceTokenizer : public Tokenizer {
 public:
  /// `serialized`: the bytes of a tokenizer.model; `where` names the file in messages. Throws
  /// Error.
  SentencePieceTokenizer(std::string_view serialized, const std::string& where,
                         std::string description = "SentencePiece tokenizer.model");
  ~SentencePieceTokenizer() override;

  std::vector<std::int32_t> encode(std::string_view text) const override;
  /// Control pieces stand for no text.
  std::string decode(std::span<const std::int32_t> ids) const override;
  std::string piece(std::int32_t id) const override;
  int vocab_size() const override { return static_cast<int>(model_.pieces.size()); }
  std::string description() const override { return description_; }

  std::optional<std::int32_t> find_token(std::string_view content) const;
  /// The model's own BOS piece; none if it has none.
  std::optional<std::int32_t> bos_id() const;

 private:
  void encode_part(std::string_view text, std::vector<std::int32_t>& ids) const;
  const SentencePieceModel::Piece& at(std::int32_t id) const;
  /// The bytes that a piece stands for inside a text.
  std::string surface(const SentencePieceModel::Piece& piece) const;

  std::string where_;
  std::string description_;
  SentencePieceModel model_;
  bool cut_before_blanks_ = false;
  std::unique_ptr<sentencepiece::SentencePieceProcessor> processor_;
};

}  // namespace toplens
