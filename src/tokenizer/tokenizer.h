#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace toplens {

/// Text to token ids and back. encode() never adds BOS or EOS: the BOS policy is bos_id().
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual std::vector<std::int32_t> encode(std::string_view text) const = 0;
  virtual std::string decode(std::span<const std::int32_t> ids) const = 0;
  /// One id's piece as it would be shown to a person (bytes that are no UTF-8 as <0xNN>).
  virtual std::string piece(std::int32_t id) const = 0;
  virtual int vocab_size() const = 0;
  /// "SentencePiece tokenizer.model" or "tokenizer.json (byte-level BPE)": for reports.
  virtual std::string description() const = 0;
};

/// A checkpoint's tokenizer with the BOS token that its files say starts a text; none where they
/// say so.
struct CheckpointTokenizer {
  std::unique_ptr<Tokenizer> tokenizer;
  std::optional<std::int32_t> bos_id;
  std::filesystem::path file;  ///< the file the tokenizer was read from
  std::string bos_source;      ///< which file and key decided about BOS, in words
};

/// Loads `tokenizer.model` or `tokenizer.json` of a checkpoint directory, or what a GGUF file has
/// inside. Throws Error naming the file and the reason.
CheckpointTokenizer load_tokenizer(const std::filesystem::path& checkpoint);

}  // namespace toplens
