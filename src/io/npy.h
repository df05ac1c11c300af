#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/mapped_file.h"

namespace toplens {

/// What the header of a .npy file says (versions 1 to 3; C order; little-endian).
struct NpyHeader {
  std::string dtype;  ///< "<f4", "<f8", "<f2", "<i4", "<i8"
  std::vector<std::uint64_t> shape;
  std::size_t data_offset = 0;
};

/// Parses the head of a .npy file's bytes and checks that shape and file size agree. `where` names
/// the file in messages. Throws Error on anything malformed, Fortran order or a dtype outside the
/// list above.
NpyHeader parse_npy_header(std::span<const std::byte> file, const std::string& where);

/// A floating-point array of a .npy file ("<f4", "<f8" or "<f2") as float32, mapped where it
/// already is float32.
class NpyFloatArray {
 public:
  explicit NpyFloatArray(const std::filesystem::path& path);
  const std::vector<std::uint64_t>& shape() const { return shape_; }
  std::span<const float> values() const { return values_; }

 private:
  MappedFile file_;
  std::vector<float> converted_;
  std::vector<std::uint64_t> shape_;
  std::span<const float> values_;
};

/// An integer array ("<i4" or "<i8").
struct NpyIntArray {
  std::vector<std::uint64_t> shape;
  std::vector<std::int64_t> values;
};
NpyIntArray read_npy_integers(const std::filesystem::path& path);

/// Any of these arrays as float64.
struct NpyNumbers {
  std::vector<std::uint64_t> shape;
  std::vector<double> values;
};
NpyNumbers read_npy_numbers(const std::filesystem::path& path);

/// The bytes of an int32 .npy file; `values` has the product of `shape` elements.
std::string npy_bytes(const std::vector<std::uint64_t>& shape,
                      std::span<const std::int32_t> values);

/// Writes a float32 .npy file piece by piece without holding it: the header is written at once,
/// elements are placed by index in any order (also from several threads, disjoint ranges), and
/// finish() makes the file appear whole under its name (write aside, fsync, rename). Without
/// finish() nothing is left behind. The whole size is reserved up front, so a disk that is too
/// small fails at construction.
class NpyFloatWriter {
 public:
  NpyFloatWriter(const std::filesystem::path& path, std::vector<std::uint64_t> shape);
  ~NpyFloatWriter();
  NpyFloatWriter(NpyFloatWriter&&) noexcept;
  NpyFloatWriter& operator=(NpyFloatWriter&&) noexcept;
  void write(std::uint64_t first_element, std::span<const float> values);
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace toplens
