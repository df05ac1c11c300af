#include "interchange/minference.h"

#include <cmath>
#include <cstdint>
#include <limits>

#include <fmt/format.h>
#include <toplens/error.h>
#include <nlohmann/json.hpp>

#include "interchange/head_number.h"
#include "io/json_text.h"

namespace toplens {
namespace {

constexpr int kBlockSparseKeys = 100 * 64;  // fixed in minference_forward.py
constexpr int kLargestSize = 1 << 30;       // two of them still fit an int

int parse_size(const nlohmann::json& value, const std::string& place, std::string_view what) {
  const double size = value.is_number() ? value.get<double>() : -1.0;
  if (!(size >= 0.0 && size <= kLargestSize) || size != std::floor(size)) {
    throw Error(fmt::format("{}: the {} is {}, expected a number of tokens", place, what,
                            described(value)));
  }
  return static_cast<int>(size);
}

MInferenceHead parse_head(const nlohmann::json& entry, const std::string& place) {
  if (!entry.is_array() || entry.size() != 4 || !entry[0].is_string()) {
    throw Error(fmt::format(
        "{}: {} found, expected [pattern, number, number, score]", place,
        entry.is_array() ? fmt::format("a list of {}", entry.size()) : described(entry)));
  }
  MInferenceHead head;
  try {
    head.kind = parse_name(kMInferenceKindNames, "pattern", entry[0].get_ref<const std::string&>());
  } catch (const Error& error) {
    throw Error(fmt::format("{}: {}", place, error.what()));
  }
  head.vertical_size = parse_size(entry[1], place, "first number");
  head.slash_size = parse_size(entry[2], place, "second number");
  if (!entry[3].is_number() || !std::isfinite(entry[3].get<double>())) {
    throw Error(fmt::format("{}: the score is {}, expected a number", place, described(entry[3])));
  }
  head.score = entry[3].get<double>() + 0.0;  // -0 would be written as an integer
  return head;
}

void parse_layer(const nlohmann::json& layer, const std::string& place,
                 MInferencePatterns& patterns) {
  if (!layer.is_object() || layer.empty()) {
    throw Error(fmt::format("{}: {} found, expected an object of heads", place,
                            layer.is_object() ? "an empty object" : described(layer)));
  }
  if (patterns.layers == 0) patterns.heads = static_cast<int>(layer.size());
  if (static_cast<int>(layer.size()) != patterns.heads) {
    throw Error(fmt::format("{}: {} heads found, the layers before it have {}", place, layer.size(),
                            patterns.heads));
  }
  for (const auto& [key, entry] : layer.items()) {
    const std::optional<int> head = parse_head_number(key);
    if (!head || *head >= patterns.heads) {
      throw Error(fmt::format("{}: key {} found, expected the heads \"0\" to \"{}\"", place,
                              in_quotes(key), patterns.heads - 1));
    }
  }
  // As many keys as heads, all below their number and no two equal: all are there.
  for (int head = 0; head < patterns.heads; ++head) {
    patterns.table.push_back(
        parse_head(layer.at(fmt::format("{}", head)), fmt::format("{}, head {}", place, head)));
  }
  ++patterns.layers;
}

}  // namespace

int MInferenceHead::kept_tokens() const {
  return kind == MInferenceKind::block_sparse ? kBlockSparseKeys : vertical_size + slash_size;
}

HeadScores MInferencePatterns::scores() const {
  HeadScores scores = {HeadKind::query, layers, heads, {}};
  for (const MInferenceHead& head : table) {
    scores.values.push_back(static_cast<double>(head.kept_tokens()));
  }
  return scores;
}

MInferencePatterns parse_minference(std::string_view text, const std::string& where) {
  const nlohmann::json root = parse_json(text, where);
  if (!root.is_array() || root.empty()) {
    throw Error(fmt::format("{}: {} found, expected a list with an object for each layer", where,
                            root.is_array() ? "an empty list" : described(root)));
  }
  MInferencePatterns patterns;
  for (std::size_t layer = 0; layer < root.size(); ++layer) {
    parse_layer(root[layer], fmt::format("{}: layer {}", where, layer), patterns);
  }
  return patterns;
}

std::string minference_json(const MInferencePatterns& patterns) {
  std::string text = "[";
  for (int layer = 0; layer < patterns.layers; ++layer) {
    text += layer > 0 ? ", {" : "{";
    for (int head = 0; head < patterns.heads; ++head) {
      const MInferenceHead& entry =
          patterns
              .table[static_cast<std::size_t>(layer) * static_cast<std::size_t>(patterns.heads) +
                     static_cast<std::size_t>(head)];
      text += fmt::format("{}\"{}\": [\"{}\", {}, {}, {}]", head > 0 ? ", " : "", head,
                          name_in(kMInferenceKindNames, entry.kind), entry.vertical_size,
                          entry.slash_size, entry.score);
    }
    text += '}';
  }
  return text + "]\n";
}

}  // namespace toplens
