#include "io/npy.h"

#include <fmt/format.h>
#include <toplens/error.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

#include "base/narrow.h"
#include "io/temporary_file.h"

namespace toplens {
namespace {

template <typename T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

/// IEEE binary16 to binary32, exact.
float float_of_half(std::uint16_t half) {
  const float sign = (half & 0x8000u) != 0 ? -1.0f : 1.0f;
  const int exponent = (half >> 10) & 0x1f;
  const int fraction = half & 0x3ff;
  if (exponent == 0x1f) {
    return fraction != 0 ? std::numeric_limits<float>::quiet_NaN()
                         : sign * std::numeric_limits<float>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(fraction), -24);
  return sign * std::ldexp(static_cast<float>(fraction + 0x400), exponent - 25);
}

float narrowed(double value, std::size_t index, const std::string& where) {
  if (std::isfinite(value) &&
      std::abs(value) > static_cast<double>(std::numeric_limits<float>::max())) {
    throw Error(
        fmt::format("{}: element {} is {}, beyond the range of float32", where, index, value));
  }
  return static_cast<float>(value);
}

std::string header_text(std::string_view dtype, const std::vector<std::uint64_t>& shape) {
  std::string text = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}{}), }}",
                                 dtype, fmt::join(shape, ", "), shape.size() == 1 ? "," : "");
  // As NumPy does: the data begins at a multiple of 64 bytes, a newline ends the header.
  constexpr std::size_t kBefore = 10;
  text.append((64 - (kBefore + text.size() + 1) % 64) % 64, ' ');
  text += '\n';
  if (text.size() > 0xffff) throw Error("a .npy array of too many dimensions");
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(text.size() & 0xff);
  header += static_cast<char>(text.size() >> 8);
  return header + text;
}

}  // namespace

NpyFloatArray::NpyFloatArray(const std::filesystem::path& path) : file_(path) {
  const std::string where = path.string();
  const NpyHeader header = parse_npy_header(file_.bytes(), where);
  if (header.dtype[1] != 'f') {
    throw Error(fmt::format("{}: dtype {} found, expected floating point (<f4, <f8 or <f2)", where,
                            header.dtype));
  }
  shape_ = header.shape;
  const std::span<const std::byte> data = file_.bytes().subspan(header.data_offset);
  const auto element_bytes = static_cast<std::size_t>(header.dtype[2] - '0');
  const std::size_t count = data.size() / element_bytes;
  // The mapping begins at a page, so the header's length decides about alignment.
  if (header.dtype == "<f4" && header.data_offset % alignof(float) == 0) {
    values_ = {reinterpret_cast<const float*>(data.data()), count};
    return;
  }
  converted_.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::byte* element = data.data() + i * element_bytes;
    if (element_bytes == 2) {
      converted_[i] = float_of_half(load<std::uint16_t>(element));
    } else if (element_bytes == 4) {
      converted_[i] = load<float>(element);
    } else {
      converted_[i] = narrowed(load<double>(element), i, where);
    }
  }
  values_ = converted_;
}

NpyIntArray read_npy_integers(const std::filesystem::path& path) {
  const MappedFile file(path);
  const NpyHeader header = parse_npy_header(file.bytes(), path.string());
  if (header.dtype[1] != 'i') {
    throw Error(fmt::format("{}: dtype {} found, expected integers (<i4 or <i8)", path.string(),
                            header.dtype));
  }
  const std::span<const std::byte> data = file.bytes().subspan(header.data_offset);
  const auto element_bytes = static_cast<std::size_t>(header.dtype[2] - '0');
  NpyIntArray array;
  array.shape = header.shape;
  array.values.resize(data.size() / element_bytes);
  for (std::size_t i = 0; i < array.values.size(); ++i) {
    const std::byte* element = data.data() + i * element_bytes;
    array.values[i] =
        element_bytes == 4 ? load<std::int32_t>(element) : load<std::int64_t>(element);
  }
  return array;
}

NpyNumbers read_npy_numbers(const std::filesystem::path& path) {
  const MappedFile file(path);
  const NpyHeader header = parse_npy_header(file.bytes(), path.string());
  const std::span<const std::byte> data = file.bytes().subspan(header.data_offset);
  const auto element_bytes = static_cast<std::size_t>(header.dtype[2] - '0');
  NpyNumbers array;
  array.shape = header.shape;
  array.values.resize(data.size() / element_bytes);
  for (std::size_t i = 0; i < array.values.size(); ++i) {
    const std::byte* element = data.data() + i * element_bytes;
    if (header.dtype == "<f8") {
      array.values[i] = load<double>(element);
    } else if (header.dtype == "<f4") {
      array.values[i] = static_cast<double>(load<float>(element));
    } else if (header.dtype == "<f2") {
      array.values[i] = static_cast<double>(float_of_half(load<std::uint16_t>(element)));
    } else if (header.dtype == "<i4") {
      array.values[i] = static_cast<double>(load<std::int32_t>(element));
    } else {
      array.values[i] = static_cast<double>(load<std::int64_t>(element));
    }
  }
  return array;
}

std::string npy_bytes(const std::vector<std::uint64_t>& shape,
                      std::span<const std::int32_t> values) {
  std::string bytes = header_text("<i4", shape);
  bytes.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  return bytes;
}

struct NpyFloatWriter::State {
  explicit State(const std::filesystem::path& path) : file(path) {}
  TemporaryFile file;
  std::uint64_t data_offset = 0;
  std::uint64_t num_elements = 0;
};

NpyFloatWriter::NpyFloatWriter(const std::filesystem::path& path,
                               std::vector<std::uint64_t> shape) {
  const std::string header = header_text("<f4", shape);
  std::uint64_t num_elements = 1;
  std::uint64_t bytes = 0;
  bool fits = true;
  for (const std::uint64_t dimension : shape) {
    fits = fits && checked_multiply(num_elements, dimension, num_elements);
  }
  fits = fits && checked_multiply(num_elements, sizeof(float), bytes) &&
         checked_add(bytes, header.size(), bytes);
  if (!fits) {
    throw Error(fmt::format("{}: an array of shape [{}] is larger than any file", path.string(),
                            fmt::join(shape, ", ")));
  }
  remove_abandoned(path);
  state_ = std::make_unique<State>(path);
  state_->data_offset = header.size();
  state_->num_elements = num_elements;
  state_->file.reserve(bytes);
  state_->file.write(0, header.data(), header.size());
}

NpyFloatWriter::~NpyFloatWriter() = default;
NpyFloatWriter::NpyFloatWriter(NpyFloatWriter&&) noexcept = default;
NpyFloatWriter& NpyFloatWriter::operator=(NpyFloatWriter&&) noexcept = default;

void NpyFloatWriter::write(std::uint64_t first_element, std::span<const float> values) {
  if (first_element > state_->num_elements ||
      values.size() > state_->num_elements - first_element) {
    throw Error(fmt::format("{}: elements {} to {} written to an array of {}",
                            state_->file.destination().string(), first_element,
                            first_element + values.size(), state_->num_elements));
  }
  state_->file.write(state_->data_offset + first_element * sizeof(float), values.data(),
                     values.size_bytes());
}

void NpyFloatWriter::finish() {
  state_->file.publish();
  state_.reset();
}

}  // namespace toplens
