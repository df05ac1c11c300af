#include "tokenizer/fixtures.h"

#include <fmt/core.h>

#include <fstream>
#include <sstream>

#include <nlohmann/json.hpp>

#include "tokenizer/byte_level.h"

namespace toplens::testing {

using nlohmann::json;

std::string byte_level_json() {
  json vocab;
  for (int byte = 0; byte < 256; ++byte) {
    vocab[std::string(byte_level_character(static_cast<unsigned char>(byte)))] = byte;
  }
  vocab["he"] = 256;
  vocab["ll"] = 257;
  vocab["hell"] = 258;
  vocab["hello"] = 259;
  vocab["Ġhello"] = 260;
  const json merges = {"h e", "l l", "he ll", "hell o", "Ġ hello"};
  return json{{"version", "1.0"},
              {"truncation", nullptr},
              {"padding", nullptr},
              {"added_tokens",
               {{{"id", 261}, {"content", "<|end|>"}, {"special", true}, {"normalized", false}},
                {{"id", 262}, {"content", "<tag>"}, {"special", false}, {"normalized", false}}}},
              {"normalizer", nullptr},
              {"pre_tokenizer",
               {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}}},
              {"post_processor", nullptr},
              {"decoder", {{"type", "ByteLevel"}}},
              {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}}
      .dump();
}

std::string byte_fallback_json() {
  json vocab = {{"<unk>", 0}, {"<s>", 1}, {"</s>", 2}};
  for (int byte = 0; byte < 256; ++byte) vocab[fmt::format("<0x{:02X}>", byte)] = byte + 3;
  int id = 259;
  for (const char* token : {"▁", "a", "b", "ab", "▁ab", "▁a"}) vocab[token] = id++;
  const json merges = {"a b", "▁ ab", "▁ a"};
  const json special = {{"id", 1}, {"content", "<s>"}, {"special", true}, {"normalized", false}};
  const json blank = {{"String", " "}};
  return json{{"added_tokens", json::array({special})},
              {"normalizer",
               {{"type", "Sequence"},
                {"normalizers",
                 {{{"type", "Prepend"}, {"prepend", "▁"}},
                  {{"type", "Replace"}, {"pattern", blank}, {"content", "▁"}}}}}},
              {"pre_tokenizer", nullptr},
              {"post_processor", nullptr},
              {"decoder",
               {{"type", "Sequence"},
                {"decoders",
                 {{{"type", "Replace"}, {"pattern", {{"String", "▁"}}}, {"content", " "}},
                  {{"type", "ByteFallback"}},
                  {{"type", "Fuse"}},
                  {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}}},
              {"model",
               {{"type", "BPE"},
                {"unk_token", "<unk>"},
                {"fuse_unk", true},
                {"byte_fallback", true},
                {"vocab", vocab},
                {"merges", merges}}}}
      .dump();
}

std::string read_bytes(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

void write_bytes(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace toplens::testing
