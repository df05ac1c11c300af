#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tokenizer/sentencepiece_model.h"

namespace toplens {

/// What a SentencePiece model of type BPE needs beside its pieces.
struct SentencePieceOptions {
  std::optional<std::int32_t> bos_id;
  std::optional<std::int32_t> eos_id;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = false;
};

struct ScoredPiece {
  std::string_view text;
  float score = 0;
  SentencePieceModel::PieceType type = SentencePieceModel::PieceType::normal;
};

/// The protocol buffer of a tokenizer.model with these pieces: of type BPE, with the identity
/// normalizer, and with byte fallback if there are byte pieces. libsentencepiece publishes no
/// header of the message, so it is written field by field. Ids must be below pieces.size().
std::string write_sentencepiece_model(std::span<const ScoredPiece> pieces,
                                      const SentencePieceOptions& options);

}  // namespace toplens
