#include "cli/shown_document.h"

#include <memory>

#include <fmt/format.h>
#include <toplens/error.h>

#include "tokenizer/tokenizer.h"

namespace toplens {
namespace {

std::unique_ptr<Tokenizer> tokenizer_of(const std::filesystem::path& checkpoint_directory) {
  try {
    return load_tokenizer(checkpoint_directory).tokenizer;
  } catch (const Error&) {
    return nullptr;  // a run over token ids needs none
  }
}

}  // namespace

ShownDocument shown_document(const std::filesystem::path& checkpoint_directory,
                             std::span<const std::int32_t> token_ids, const std::string& label) {
  const std::unique_ptr<Tokenizer> tokenizer = tokenizer_of(checkpoint_directory);
  ShownDocument document;
  document.label = label;
  for (const std::int32_t id : token_ids) {
    const bool known = tokenizer != nullptr && id >= 0 && id < tokenizer->vocab_size();
    document.tokens.push_back(known ? tokenizer->piece(id) : fmt::format("<{}>", id));
  }
  return document;
}

}  // namespace toplens
