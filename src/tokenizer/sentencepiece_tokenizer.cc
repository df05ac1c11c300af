#include "tokenizer/sentencepiece_tokenizer.h"

#include <fmt/core.h>
#include <sentencepiece_processor.h>

#include <algorithm>

#include <toplens/error.h>

#include "base/utf8.h"
#include "tokenizer/byte_token.h"

namespace toplens {

namespace {

constexpr std::string_view kBlank = kSentencePieceBlank;

// libsentencepiece's time per character grows with the text, and so does its memory (a protocol
// buffer message for each piece).
constexpr std::size_t kPartBytes = 1024;

/// Where the next part of `text` ends: before a blank that follows neither a blank nor a U+2581.
std::size_t find_cut(std::string_view text) {
  for (std::size_t at = kPartBytes; (at = text.find(' ', at)) != text.npos; ++at) {
    const bool after_blank = text[at - 1] == ' ' || text.substr(0, at).ends_with(kBlank);
    if (!after_blank && at + 1 < text.size()) return at;
  }
  return text.size();
}

}  // namespace

SentencePieceTokenizer::SentencePieceTokenizer(std::string_view serialized,
                                               const std::string& where, std::string description)
    : where_(where),
      description_(std::move(description)),
      model_(parse_sentencepiece_model(serialized, where)),
      cut_before_blanks_(can_cut_before_blanks(model_)),
      processor_(std::make_unique<sentencepiece::SentencePieceProcessor>()) {
  if (model_.whitespace_as_suffix) {
    throw Error(where + ": treat_whitespace_as_suffix is not supported");
  }
  try {
    const auto status = processor_->LoadFromSerializedProto(serialized);
    if (!status.ok()) throw Error(fmt::format("{}: {}", where, status.ToString()));
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {  // Darts::Exception and what the standard library throws
    throw Error(fmt::format("{}: libsentencepiece cannot load the model: {}", where, error.what()));
  }
  if (processor_->GetPieceSize() != vocab_size()) {
    throw Error(fmt::format("{}: libsentencepiece finds {} pieces, the file has {}", where,
                            processor_->GetPieceSize(), vocab_size()));
  }
}

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

std::vector<std::int32_t> SentencePieceTokenizer::encode(std::string_view text) const {
  if (const auto offset = find_invalid_utf8(text)) {
    throw Error(fmt::format("text to be tokenized is no valid UTF-8 at byte {}", *offset));
  }
  std::vector<std::int32_t> ids;
  if (cut_before_blanks_) {
    for (std::size_t cut; (cut = find_cut(text)) < text.size();) {
      encode_part(text.substr(0, cut), ids);
      // The blank that encoding prepends to the rest is the one dropped here.
      text.remove_prefix(cut + 1);
    }
  }
  encode_part(text, ids);
  return ids;
}

void SentencePieceTokenizer::encode_part(std::string_view text,
                                         std::vector<std::int32_t>& ids) const {
  std::vector<int> part;
  const auto status = processor_->Encode(absl::string_view(text.data(), text.size()), &part);
  if (!status.ok()) throw Error(fmt::format("{}: {}", where_, status.ToString()));
  ids.insert(ids.end(), part.begin(), part.end());
}

const SentencePieceModel::Piece& SentencePieceTokenizer::at(std::int32_t id) const {
  if (id < 0 || id >= vocab_size()) {
    throw Error(fmt::format("{}: token id {} is not in the vocabulary of {} pieces", where_, id,
                            vocab_size()));
  }
  return model_.pieces[static_cast<std::size_t>(id)];
}

std::string SentencePieceTokenizer::surface(const SentencePieceModel::Piece& piece) const {
  using Type = SentencePieceModel::PieceType;
  if (piece.type == Type::control) return "";
  if (piece.type == Type::unknown) return model_.unk_surface;
  if (piece.type == Type::byte) {
    if (const auto byte = parse_byte_token(piece.text)) {
      return std::string(1, static_cast<char>(*byte));
    }
  }
  if (!model_.escape_whitespaces) return piece.text;
  std::string text;
  std::size_t done = 0;
  for (std::size_t at; (at = piece.text.find(kBlank, done)) != std::string::npos;
       done = at + kBlank.size()) {
    text.append(piece.text, done, at - done);
    text += ' ';
  }
  return text.append(piece.text, done);
}

std::string SentencePieceTokenizer::decode(std::span<const std::int32_t> ids) const {
  // The library's own Decode is not used: it turns bytes that make no UTF-8 within one run into
  // U+FFFD, and drops more than the one blank that encoding prepended for some models.
  std::string text;
  bool at_start = true;
  for (const std::int32_t id : ids) {
    const SentencePieceModel::Piece& piece = at(id);
    if (piece.type == SentencePieceModel::PieceType::control) continue;
    std::string part = surface(piece);
    if (at_start && model_.add_dummy_prefix && !part.empty() && part.front() == ' ' &&
        piece.type != SentencePieceModel::PieceType::unknown &&
        piece.type != SentencePieceModel::PieceType::byte) {
      part.erase(0, 1);
    }
    at_start = false;
    text += part;
  }
  return text;
}

std::string SentencePieceTokenizer::piece(std::int32_t id) const {
  using Type = SentencePieceModel::PieceType;
  const SentencePieceModel::Piece& piece = at(id);
  const bool has_no_text = piece.type == Type::control || piece.type == Type::unknown;
  return printable_utf8(has_no_text ? piece.text : surface(piece));
}

std::optional<std::int32_t> SentencePieceTokenizer::find_token(std::string_view content) const {
  const auto found = std::find_if(model_.pieces.begin(), model_.pieces.end(),
                                  [&](const auto& piece) { return piece.text == content; });
  if (found == model_.pieces.end()) return std::nullopt;
  return static_cast<std::int32_t>(found - model_.pieces.begin());
}

std::optional<std::int32_t> SentencePieceTokenizer::bos_id() const {
  const int id = processor_->bos_id();
  if (id < 0) return std::nullopt;
  return id;
}

}  // namespace toplens
