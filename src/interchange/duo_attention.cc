#include "interchange/duo_attention.h"

#include <charconv>
#include <cmath>
#include <limits>

#include <fmt/format.h>
#include <toplens/error.h>
#include <nlohmann/json.hpp>

#include "io/atomic_file.h"
#include "io/json_text.h"

namespace toplens {
namespace {

double parse_field(std::string_view field, const std::string& where, std::size_t line,
                   std::size_t column) {
  const std::size_t first = field.find_first_not_of(' ');
  if (first != field.npos) {
    field = field.substr(first, field.find_last_not_of(' ') + 1 - first);
  }
  double value = 0.0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value);
  if (error != std::errc() || end != field.data() + field.size() || !std::isfinite(value)) {
    throw Error(fmt::format("{}: line {}, column {}: {} found, expected a finite number", where,
                            line, column, in_quotes(field)));
  }
  return value;
}

/// Appends one line's numbers; returns how many there are.
std::size_t parse_line(std::string_view line, const std::string& where, std::size_t number,
                       std::vector<double>& values) {
  std::size_t column = 0;
  for (std::size_t begin = 0; begin <= line.size();) {
    const std::size_t end = std::min(line.find('\t', begin), line.size());
    ++column;
    values.push_back(parse_field(line.substr(begin, end - begin), where, number, column));
    begin = end + 1;
  }
  return column;
}

int cache_size(const nlohmann::json& config, const char* key, const std::string& where) {
  const auto found = config.find(key);
  if (found == config.end()) throw Error(fmt::format("{}: key '{}' is missing", where, key));
  if (!found->is_number_unsigned() ||
      found->get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<int>::max())) {
    throw Error(
        fmt::format("{}: '{}' is {}, expected a number of tokens", where, key, described(*found)));
  }
  return found->get<int>();
}

}  // namespace

HeadScores parse_duo_attention_tsv(std::string_view text, const std::string& where) {
  HeadScores scores;
  scores.kind = HeadKind::kv;
  std::size_t number = 0, columns = 0, layers = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    if (line.ends_with('\r')) line.remove_suffix(1);
    ++number;
    begin = end + 1;
    if (line.empty()) {
      if (text.find_first_not_of("\r\n", begin) == text.npos) break;
      throw Error(fmt::format("{}: line {} is blank", where, number));
    }
    const std::size_t found = parse_line(line, where, number, scores.values);
    if (layers > 0 && found != columns) {
      throw Error(fmt::format("{}: line {} has {} numbers, the lines before it have {}", where,
                              number, found, columns));
    }
    columns = found;
    ++layers;
  }
  if (layers == 0) throw Error(where + ": the file has no numbers; expected a line for each layer");
  scores.layers = static_cast<int>(layers);
  scores.heads = static_cast<int>(columns);
  return scores;
}

DuoAttentionCache parse_duo_attention_config(std::string_view text, const std::string& where) {
  const nlohmann::json config = parse_json(text, where);
  if (!config.is_object()) {
    throw Error(fmt::format("{}: {} found, expected an object", where, described(config)));
  }
  return {cache_size(config, "sink_size", where), cache_size(config, "recent_size", where)};
}

std::string duo_attention_tsv(const HeadScores& scores) {
  if (scores.kind != HeadKind::kv) throw Error("DuoAttention's file has scores of KV heads");
  std::string text;
  for (int layer = 0; layer < scores.layers; ++layer) {
    for (int head = 0; head < scores.heads; ++head) {
      const double value = scores.at(layer, head);
      if (!std::isfinite(value)) {
        throw Error(
            fmt::format("DuoAttention's file: layer {}, KV head {} is {}, expected a finite "
                        "number",
                        layer, head, value));
      }
      text += fmt::format("{}{:.18e}", head > 0 ? "\t" : "", value);
    }
    text += '\n';
  }
  return text;
}

std::string duo_attention_config(const DuoAttentionCache& cache) {
  return fmt::format("{{\"sink_size\": {}, \"recent_size\": {}}}\n", cache.sink_size,
                     cache.recent_size);
}

void write_duo_attention(const std::filesystem::path& directory, const HeadScores& scores,
                         const DuoAttentionCache& cache) {
  write_file_atomically(directory / "full_attention_heads.tsv", duo_attention_tsv(scores));
  write_file_atomically(directory / "config.json", duo_attention_config(cache));
}

}  // namespace toplens
