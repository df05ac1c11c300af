#include "tokenizer/sentencepiece_writer.h"

#include <algorithm>
#include <cassert>
#include <cstring>

namespace toplens {
namespace {

/// Appends fields of a protocol buffer message.
class WireWriter {
 public:
  void number(std::uint32_t field, std::uint64_t value) {
    varint(field << 3);
    varint(value);
  }
  void text(std::uint32_t field, std::string_view value) {
    varint(field << 3 | 2);
    varint(value.size());
    bytes_ += value;
  }
  void single(std::uint32_t field, float value) {
    varint(field << 3 | 5);
    char bytes[sizeof(value)];
    std::memcpy(bytes, &value, sizeof(value));
    bytes_.append(bytes, sizeof(value));
  }
  const std::string& bytes() const { return bytes_; }

 private:
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

constexpr std::uint64_t kBpe = 2;
constexpr std::uint64_t kNoId = static_cast<std::uint64_t>(-1);  // -1 as protocol buffers write it

/// bos and eos: their id and the piece, by which the library finds them.
void write_role(WireWriter& trainer, std::uint32_t id_field, std::uint32_t piece_field,
                std::optional<std::int32_t> id, std::span<const ScoredPiece> pieces) {
  assert(!id || (*id >= 0 && static_cast<std::size_t>(*id) < pieces.size()));
  trainer.number(id_field, id ? static_cast<std::uint64_t>(*id) : kNoId);
  if (id) trainer.text(piece_field, pieces[static_cast<std::size_t>(*id)].text);
}

}  // namespace

std::string write_sentencepiece_model(std::span<const ScoredPiece> pieces,
                                      const SentencePieceOptions& options) {
  using Type = SentencePieceModel::PieceType;
  WireWriter model;
  for (const ScoredPiece& piece : pieces) {
    WireWriter entry;
    entry.text(1, piece.text);
    entry.single(2, piece.score);
    entry.number(3, static_cast<std::uint64_t>(piece.type));
    model.text(1, entry.bytes());
  }
  const auto is_of = [](Type type) {
    return [type](const ScoredPiece& piece) { return piece.type == type; };
  };
  WireWriter trainer;
  trainer.number(3, kBpe);
  trainer.number(4, pieces.size());
  if (std::any_of(pieces.begin(), pieces.end(), is_of(Type::byte))) trainer.number(35, 1);
  const auto unknown = std::find_if(pieces.begin(), pieces.end(), is_of(Type::unknown));
  if (unknown != pieces.end()) {
    trainer.number(40, static_cast<std::uint64_t>(unknown - pieces.begin()));
    trainer.text(45, unknown->text);
  }
  write_role(trainer, 41, 46, options.bos_id, pieces);
  write_role(trainer, 42, 47, options.eos_id, pieces);
  trainer.number(43, kNoId);
  model.text(2, trainer.bytes());

  WireWriter normalizer;
  normalizer.text(1, "identity");
  normalizer.number(3, options.add_dummy_prefix ? 1 : 0);
  normalizer.number(4, options.remove_extra_whitespaces ? 1 : 0);
  normalizer.number(5, 1);  // blanks are written as U+2581
  model.text(3, normalizer.bytes());
  return model.bytes();
}

}  // namespace toplens
