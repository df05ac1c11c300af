#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include <toplens/error.h>

namespace toplens::testing {

/// A small tokenizer.json of byte-level BPE: all 256 bytes (ids 0-255 in byte order), then the
/// merges h+e=256, l+l=257, he+ll=258, hell+o=259, Ġ+hello=260; the special token <|end|>=261 and
/// the ordinary added token <tag>=262.
std::string byte_level_json();

/// A small tokenizer.json in LLaMA-2's manner: <unk>=0 <s>=1 </s>=2, bytes 3-258, ▁=259 a=260 b=261
/// ab=262 ▁ab=263 ▁a=264; merges a+b, ▁+ab, ▁+a; normalizer Prepend and Replace.
std::string byte_fallback_json();

/// A directory with these files, removed at the end.
class TemporaryCheckpoint {
 public:
  TemporaryCheckpoint();
  ~TemporaryCheckpoint();
  TemporaryCheckpoint(const TemporaryCheckpoint&) = delete;
  TemporaryCheckpoint& operator=(const TemporaryCheckpoint&) = delete;
  void write(const std::string& name, std::string_view contents) const;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::string read_bytes(const std::filesystem::path& path);

/// The message of the Error that `action` throws; empty if it throws none.
template <typename Action>
std::string error_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace toplens::testing
