#include "checkpoint/safetensors_index.h"

#include <fmt/core.h>
#include <toplens/error.h>

#include <nlohmann/json.hpp>

#include "io/json_text.h"

namespace toplens {
namespace {

bool is_plain_file_name(std::string_view name) {
  using namespace std::string_view_literals;
  return !name.empty() && name != "." && name != ".." && name.find_first_of("/\\\0"sv) == name.npos;
}

}  // namespace

std::map<std::string, std::string> parse_safetensors_index(std::string_view text,
                                                           const std::string& where) {
  const nlohmann::json json = parse_json(text, where);
  if (!json.is_object()) {
    throw Error(fmt::format("{}: is {}, expected an object", where, described(json)));
  }
  const auto weight_map = json.find("weight_map");
  if (weight_map == json.end() || !weight_map->is_object() || weight_map->empty()) {
    throw Error(fmt::format("{}: 'weight_map' is {}, expected an object from tensor to file", where,
                            weight_map == json.end() ? "missing"
                            : weight_map->empty()    ? "empty"
                                                     : described(*weight_map)));
  }
  std::map<std::string, std::string> shard_of;
  for (const auto& [tensor, shard] : weight_map->items()) {
    if (!shard.is_string() || !is_plain_file_name(shard.get_ref<const std::string&>())) {
      throw Error(fmt::format("{}: tensor {} is in {}, expected a plain file name (no path)", where,
                              in_quotes(tensor), described(shard)));
    }
    shard_of.emplace(tensor, shard.get<std::string>());
  }
  return shard_of;
}

}  // namespace toplens
