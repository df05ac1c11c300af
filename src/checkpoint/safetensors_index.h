#pragma once

#include <map>
#include <string>
#include <string_view>

namespace toplens {

/// Parses the text of a model.safetensors.index.json into tensor name -> shard. Shards must be
/// plain file names in the checkpoint's own directory. `where` names the file. Throws Error.
std::map<std::string, std::string> parse_safetensors_index(std::string_view text,
                                                           const std::string& where);

}  // namespace toplens
