#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "results/profiles_dataset.h"

namespace toplens {

/// The texts of a window's tokens as the checkpoint's tokenizer writes them. Ids that it does not
/// know, and all ids where the checkpoint has no tokenizer (possible with --tokens), become <id>.
ShownDocument shown_document(const std::filesystem::path& checkpoint_directory,
                             std::span<const std::int32_t> token_ids, const std::string& label);

}  // namespace toplens
