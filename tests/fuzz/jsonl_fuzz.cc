#include <cstdlib>

#include <toplens/error.h>

#include "base/utf8.h"
#include "corpus/documents.h"

namespace {

class CheckingTokenizer : public toplens::Tokenizer {
 public:
  std::vector<std::int32_t> encode(std::string_view text) const override {
    if (toplens::find_invalid_utf8(text)) std::abort();
    return {static_cast<std::int32_t>(text.size())};
  }
  std::string decode(std::span<const std::int32_t>) const override { return ""; }
  std::string piece(std::int32_t) const override { return ""; }
  int vocab_size() const override { return 0; }
  std::string description() const override { return ""; }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  try {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    toplens::parse_jsonl_documents(text, "fuzz", "fuzz", CheckingTokenizer());
  } catch (const toplens::Error&) {
  }
  return 0;
}
