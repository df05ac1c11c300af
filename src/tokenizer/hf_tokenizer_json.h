#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>

#include "tokenizer/hf_tokenizer.h"

namespace toplens {

/// Reads the parts of a tokenizer.json that turn text into ids and back. `where` names the file in
/// messages. Throws Error on components and keys that are not supported, naming those that are.
HfTokenizerSpec parse_hf_tokenizer(const nlohmann::json& root, const std::string& where);

}  // namespace toplens
