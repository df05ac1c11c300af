#pragma once

#include <string>
#include <variant>
#include <vector>

#include "tokenizer/regex.h"

namespace toplens {

struct ReplaceDecoder {
  Regex pattern;
  std::string content;
};
struct ByteFallbackDecoder {};
struct FuseDecoder {};
struct StripDecoder {
  std::string content;  ///< one character
  std::size_t start = 0;
  std::size_t stop = 0;
};
struct ByteLevelDecoder {};
struct MetaspaceDecoder {
  std::string replacement;
  bool strip_first = false;  ///< the first token's first replacement was prepended
};
using DecoderStep = std::variant<ReplaceDecoder, ByteFallbackDecoder, FuseDecoder, StripDecoder,
                                 ByteLevelDecoder, MetaspaceDecoder>;

/// The `decoder` of a tokenizer.json: its steps in order, Sequences flattened.
class Decoder {
 public:
  explicit Decoder(std::vector<DecoderStep> steps = {}) : steps_(std::move(steps)) {}
  /// The text of consecutive tokens. Without steps they are joined by spaces, as the tokenizers
  /// library does.
  std::string decode(std::vector<std::string> tokens) const;
  /// The bytes of one token in the middle of a text.
  std::string decode_piece(const std::string& token) const;

 private:
  std::vector<DecoderStep> steps_;
};

}  // namespace toplens
