#include <toplens/error.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "checkpoint/tensor_store.h"

// Whatever parses must lie within the file, without holes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto header =
        toplens::parse_safetensors_header(std::as_bytes(std::span(data, size)), "fuzz.safetensors");
    if (header.data_offset > size) std::abort();
    std::uint64_t covered = 0;
    for (const auto& entry : header.entries) {
      if (entry.begin != covered || entry.end < entry.begin) std::abort();
      covered = entry.end;
    }
    if (covered != size - header.data_offset) std::abort();
  } catch (const toplens::Error&) {
  }
  return 0;
}
