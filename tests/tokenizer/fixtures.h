#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace toplens::testing {

/// A small tokenizer.json of byte-level BPE: all 256 bytes (ids 0-255 in byte order), then the
/// merges h+e=256, l+l=257, he+ll=258, hell+o=259, Ġ+hello=260; the special token <|end|>=261 and
/// the ordinary added token <tag>=262.
std::string byte_level_json();

/// A small tokenizer.json in LLaMA-2's manner: <unk>=0 <s>=1 </s>=2, bytes 3-258, ▁=259 a=260 b=261
/// ab=262 ▁ab=263 ▁a=264; merges a+b, ▁+ab, ▁+a; normalizer Prepend and Replace.
std::string byte_fallback_json();

std::string read_bytes(const std::filesystem::path& path);

void write_bytes(const std::filesystem::path& path, std::string_view bytes);

}  // namespace toplens::testing
