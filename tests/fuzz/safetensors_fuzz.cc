#include <toplens/error.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <vector>

#include "checkpoint/tensor_store.h"
#include "fuzz/support/scratch_file.h"
#include "kernels/convert.h"

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
    static const std::filesystem::path checkpoint = toplens::testing::new_scratch_directory();
    toplens::testing::write_scratch(checkpoint / "model.safetensors",
                                    {reinterpret_cast<const char*>(data), size});
    const toplens::TensorStore store(checkpoint);
    for (const auto& entry : header.entries) {
      try {
        const toplens::TensorView tensor = store.get(entry.name, entry.shape);
        std::vector<float> values(tensor.bytes.size() / toplens::bytes_per_element(tensor.type));
        toplens::convert_to_f32(tensor.bytes.data(), tensor.type, values);
      } catch (const toplens::Error&) {  // a dtype that is not read
      }
    }
  } catch (const toplens::Error&) {
  }
  return 0;
}
