#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/corpus.h"
#include "corpus/json_lines.h"

namespace toplens {

/// The documents of JSON lines. `where` names the file in messages, `name` in document names.
std::vector<Document> parse_jsonl_documents(std::string_view contents, const std::string& where,
                                            const std::string& name, const Tokenizer& tokenizer,
                                            std::size_t max_line_bytes = kMaxJsonLineBytes);

}  // namespace toplens
