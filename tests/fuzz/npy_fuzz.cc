#include <toplens/error.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "fuzz/support/scratch_file.h"
#include "io/npy.h"

// Whatever parses must describe exactly the bytes that follow the header.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto header = toplens::parse_npy_header(std::as_bytes(std::span(data, size)), "fuzz.npy");
    if (header.data_offset > size || header.dtype.size() != 3) std::abort();
    std::uint64_t bytes = static_cast<std::uint64_t>(header.dtype[2] - '0');
    for (const std::uint64_t dimension : header.shape) bytes *= dimension;
    if (bytes != size - header.data_offset) std::abort();
    static const toplens::testing::ScratchFile scratch;
    scratch.write({reinterpret_cast<const char*>(data), size});
    if (toplens::read_npy_numbers(scratch.path()).shape != header.shape) std::abort();
    if (header.dtype[1] == 'i') {
      toplens::read_npy_integers(scratch.path());
    } else {
      const toplens::NpyFloatArray array(scratch.path());
      if (array.shape() != header.shape) std::abort();
    }
  } catch (const toplens::Error&) {
  }
  return 0;
}
