#include <toplens/error.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "checkpoint/gguf_header.h"
#include "kernels/convert.h"
#include "model/gguf_config.h"
#include "tokenizer/gguf_tokenizer.h"

namespace {

template <typename Action>
void try_to(const Action& action) {
  try {
    action();
  } catch (const toplens::Error&) {
  }
}

/// All elements, which may be of any bits.
void decode(toplens::DataType type, std::span<const std::byte> bytes) {
  const toplens::BlockLayout block = toplens::block_layout(type);
  if (bytes.size() % block.bytes != 0) std::abort();
  std::vector<float> values(bytes.size() / block.bytes * block.elements);
  toplens::convert_to_f32(bytes.data(), type, values);
  std::vector<toplens::Bf16> halves(values.size());
  toplens::convert_to_bf16(bytes.data(), type, halves);
}

}  // namespace

// Whatever parses must lie within the file; configuration and tokenizer must refuse or work.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> file = std::as_bytes(std::span(data, size));
  try_to([&] {
    const toplens::GgufHeader header = toplens::parse_gguf_header(file, "fuzz.gguf");
    for (const toplens::GgufTensor& tensor : header.tensors) {
      if (tensor.end < tensor.begin) std::abort();
      if (tensor.end > tensor.begin && header.data_offset + tensor.end > size) std::abort();
      if (tensor.type)
        decode(*tensor.type,
               file.subspan(header.data_offset + tensor.begin, tensor.end - tensor.begin));
    }
    try_to([&] { toplens::gguf_model_config(header, file); });
    const toplens::CheckpointTokenizer tokenizer =
        toplens::gguf_tokenizer(header.metadata, "fuzz.gguf");
    const auto ids = tokenizer.tokenizer->encode(" aab  ab\n\u00e9 a\u0301 \u2581aaab<|end|>");
    (void)tokenizer.tokenizer->decode(ids);
    for (const auto id : ids) (void)tokenizer.tokenizer->piece(id);
  });
  return 0;
}
