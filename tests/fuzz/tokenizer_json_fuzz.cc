#include <nlohmann/json.hpp>

#include <toplens/error.h>

#include "io/json_text.h"
#include "tokenizer/hf_tokenizer.h"
#include "tokenizer/hf_tokenizer_json.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  try {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const auto root = toplens::parse_json(text, "fuzz");
    const toplens::HfTokenizer tokenizer(toplens::parse_hf_tokenizer(root, "fuzz"), "fuzz");
    const auto ids = tokenizer.encode(" aab  ab\n\u00e9e\u0301 <tag>aaab 123");
    tokenizer.decode(ids);
    for (const auto id : ids) tokenizer.piece(id);
  } catch (const toplens::Error&) {
  }
  return 0;
}
