#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace toplens {

/// U+2581, which stands for a blank in pieces.
inline constexpr std::string_view kSentencePieceBlank = "\xe2\x96\x81";

/// What a SentencePiece model file says and its library's public interface does not tell.
struct SentencePieceModel {
  enum class PieceType {
    normal = 1,
    unknown = 2,
    control = 3,
    user_defined = 4,
    unused = 5,
    byte = 6
  };
  struct Piece {
    std::string text;
    PieceType type = PieceType::normal;
  };
  std::vector<Piece> pieces;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool has_character_map = false;
  bool escape_whitespaces = true;  ///< a blank is written as U+2581
  bool whitespace_as_suffix = false;
  std::string unk_surface = " \xe2\x81\x87 ";  ///< what the unknown piece stands for in text
};

/// True if encoding a text is encoding its parts cut before blanks that follow a non-blank: text is
/// not rewritten beyond writing blanks as U+2581 and prepending one, and no piece reaches across
/// such a place.
bool can_cut_before_blanks(const SentencePieceModel& model);

/// Reads the protocol buffer of a tokenizer.model and checks what libsentencepiece takes on trust
/// and would read out of bounds: the character map's trie and symbols nested too deeply. `where`
/// names the file in messages. Throws Error.
SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& where);

/// True if the bytes begin as a SentencePiece model does (a piece, protocol buffer field 1).
bool looks_like_sentencepiece(std::string_view bytes);

}  // namespace toplens
