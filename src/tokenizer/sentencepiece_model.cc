#include "tokenizer/sentencepiece_model.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include <toplens/error.h>

#include "base/utf8.h"
#include "io/json_text.h"
#include "tokenizer/wire_reader.h"

namespace toplens {

namespace {

constexpr std::string_view kBlank = kSentencePieceBlank;

// Sizes of libsentencepiece's buffers for matches that begin at one character; it does not check.
constexpr int kMaxCharacterMapMatches = 32;
constexpr std::size_t kMaxNestedSymbols = 64;
constexpr int kMaxCharacterMapKey = 256;  // bytes; real ones have under 30

/// The Darts double array of a precompiled character map (darts-clone's unit layout).
class CharacterMapTrie {
 public:
  CharacterMapTrie(std::string_view bytes, std::size_t num_value_bytes, std::string where)
      : units_(bytes.size() / sizeof(std::uint32_t)),
        matches_(units_.size(), kUnknown),
        num_value_bytes_(num_value_bytes),
        where_(std::move(where)) {
    std::memcpy(units_.data(), bytes.data(), units_.size() * sizeof(std::uint32_t));
  }

  void check() {
    if (is_leaf(units_[0])) fail("has no root");
    for (std::size_t i = 0; i < units_.size(); ++i) {
      if (is_leaf(units_[i])) continue;
      // Children sit in one block of 256 units around i ^ offset.
      const std::size_t children = i ^ offset(units_[i]);
      if ((children | 0xff) >= units_.size()) fail("points outside itself");
      if (has_leaf(units_[i]) && (units_[children] & 0x7fffffffu) >= num_value_bytes_) {
        fail("points outside its replacements");
      }
    }
    if (max_matches(0, 0) > kMaxCharacterMapMatches) fail("nests too many keys");
  }

 private:
  static constexpr int kUnknown = -1;
  static constexpr int kInProgress = -2;

  static bool is_leaf(std::uint32_t unit) { return (unit >> 31) != 0; }
  static bool has_leaf(std::uint32_t unit) { return ((unit >> 8) & 1) != 0; }
  static std::uint32_t label(std::uint32_t unit) { return unit & (1u << 31 | 0xff); }
  static std::size_t offset(std::uint32_t unit) {
    return static_cast<std::size_t>(unit >> 10) << ((unit & (1u << 9)) >> 6);
  }

  /// The most keys that are prefixes of one another below unit `i`.
  int max_matches(std::size_t i, int depth) {
    if (matches_[i] == kInProgress) fail("has a cycle");
    if (matches_[i] != kUnknown) return matches_[i];
    if (depth > kMaxCharacterMapKey) fail("has a key of more than 256 bytes");
    matches_[i] = kInProgress;
    const std::size_t children = i ^ offset(units_[i]);
    int most = 0;
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      const std::size_t child = children ^ byte;
      if (label(units_[child]) == byte) {
        most = std::max(most, max_matches(child, depth + 1) + (has_leaf(units_[child]) ? 1 : 0));
      }
    }
    return matches_[i] = most;
  }

  [[noreturn]] void fail(const char* what) const {
    throw Error(fmt::format("{}: the trie of precompiled_charsmap {}", where_, what));
  }

  std::vector<std::uint32_t> units_;
  std::vector<int> matches_;
  std::size_t num_value_bytes_;
  std::string where_;
};

/// Size of the trie in bytes, the trie, then NUL-terminated replacements.
void check_character_map(std::string_view blob, const std::string& where) {
  if (blob.empty()) return;
  std::uint32_t trie_bytes = 0;
  if (blob.size() > sizeof trie_bytes) std::memcpy(&trie_bytes, blob.data(), sizeof trie_bytes);
  const std::string_view rest = blob.substr(std::min(blob.size(), sizeof trie_bytes));
  if (trie_bytes == 0 || trie_bytes % 1024 != 0 || trie_bytes >= rest.size() ||
      rest.back() != '\0') {
    throw Error(where + ": precompiled_charsmap is malformed");
  }
  CharacterMapTrie(rest.substr(0, trie_bytes), rest.size() - trie_bytes, where).check();
}

SentencePieceModel::Piece parse_piece(std::string_view bytes, const std::string& where) {
  SentencePieceModel::Piece piece;
  WireReader reader(bytes, where);
  while (reader.next()) {
    if (reader.field() == 1) piece.text = reader.bytes();
    if (reader.field() == 3) {
      // Unknown values of a protocol buffer's enum leave the default.
      if (reader.number() >= 1 && reader.number() <= 6) {
        piece.type = static_cast<SentencePieceModel::PieceType>(reader.number());
      }
    }
  }
  return piece;
}

void parse_trainer_spec(std::string_view bytes, const std::string& where,
                        SentencePieceModel& model) {
  WireReader reader(bytes, where);
  while (reader.next()) {
    if (reader.field() == 24) model.whitespace_as_suffix = reader.number() != 0;
    if (reader.field() == 44) model.unk_surface = reader.bytes();
  }
}

void parse_normalizer_spec(std::string_view bytes, const std::string& where,
                           SentencePieceModel& model) {
  WireReader reader(bytes, where);
  while (reader.next()) {
    if (reader.field() == 2) {
      check_character_map(reader.bytes(), where);
      model.has_character_map = !reader.bytes().empty();
    }
    if (reader.field() == 3) model.add_dummy_prefix = reader.number() != 0;
    if (reader.field() == 4) model.remove_extra_whitespaces = reader.number() != 0;
    if (reader.field() == 5) model.escape_whitespaces = reader.number() != 0;
  }
}

void check_pieces(const SentencePieceModel& model, const std::string& where) {
  if (model.pieces.empty()) throw Error(where + ": the model has no pieces");
  std::vector<std::string_view> symbols;
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const auto& piece = model.pieces[id];
    if (piece.text.empty()) throw Error(fmt::format("{}: piece {} is empty", where, id));
    if (piece.text.find('\0') != std::string::npos || find_invalid_utf8(piece.text)) {
      throw Error(fmt::format("{}: piece {} ({}) is no text", where, id,
                              in_quotes(printable_utf8(piece.text))));
    }
    if (piece.type == SentencePieceModel::PieceType::user_defined) symbols.push_back(piece.text);
  }
  std::sort(symbols.begin(), symbols.end());
  std::vector<std::string_view> nested;  // each is a prefix of the next
  for (const std::string_view symbol : symbols) {
    while (!nested.empty() && symbol.substr(0, nested.back().size()) != nested.back()) {
      nested.pop_back();
    }
    nested.push_back(symbol);
    if (nested.size() > kMaxNestedSymbols) {
      throw Error(fmt::format("{}: more than {} user-defined symbols begin one another, up to {}",
                              where, kMaxNestedSymbols, in_quotes(symbol)));
    }
  }
}

}  // namespace

SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& where) {
  SentencePieceModel model;
  WireReader reader(bytes, where);
  while (reader.next()) {
    switch (reader.field()) {
      case 1:
        model.pieces.push_back(parse_piece(reader.bytes(), where));
        break;
      case 2:
        parse_trainer_spec(reader.bytes(), where, model);
        break;
      case 3:
        parse_normalizer_spec(reader.bytes(), where, model);
        break;
      case 5: {  // denormalizer, which has the same layout and another use
        SentencePieceModel ignored;
        parse_normalizer_spec(reader.bytes(), where, ignored);
        break;
      }
      default:
        break;
    }
  }
  check_pieces(model, where);
  return model;
}

bool can_cut_before_blanks(const SentencePieceModel& model) {
  if (!model.add_dummy_prefix || model.remove_extra_whitespaces || model.has_character_map ||
      !model.escape_whitespaces) {
    return false;
  }
  return std::none_of(model.pieces.begin(), model.pieces.end(), [](const auto& piece) {
    std::string_view text = piece.text;
    while (text.substr(0, kBlank.size()) == kBlank) text.remove_prefix(kBlank.size());
    return text.find(kBlank) != text.npos;
  });
}

bool looks_like_sentencepiece(std::string_view bytes) {
  return !bytes.empty() && bytes.front() == '\x0a';
}

}  // namespace toplens
