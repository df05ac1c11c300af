#include <toplens/error.h>

#include "tokenizer/sentencepiece_tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  try {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const toplens::SentencePieceTokenizer tokenizer(bytes, "fuzz");
    const auto ids = tokenizer.encode(" aab  ab\n\u00e9 e\u0301 \u2581aaab");
    tokenizer.decode(ids);
    for (const auto id : ids) tokenizer.piece(id);
    tokenizer.bos_id();
  } catch (const toplens::Error&) {
  }
  return 0;
}
