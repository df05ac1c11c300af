#include <toplens/error.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "checkpoint/safetensors_index.h"

// No shard name may lead out of the checkpoint's directory.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    for (const auto& [tensor, shard] : toplens::parse_safetensors_index(text, "fuzz.json")) {
      const auto joined = (std::filesystem::path("/checkpoint") / shard).lexically_normal();
      if (joined.parent_path() != "/checkpoint" || !joined.has_filename()) std::abort();
    }
  } catch (const toplens::Error&) {
  }
  return 0;
}
