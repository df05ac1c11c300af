#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace toplens::testing {

/// Configurations with the keys that published checkpoints' config.json files have ("llama-2-7b",
/// "gemma-2-9b", ...), the form that newer versions of transformers write ("newer-form"), and a
/// small LLaMA to vary ("tiny").
nlohmann::json published_config(const std::string& name);

}  // namespace toplens::testing
