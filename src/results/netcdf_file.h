#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "results/dataset.h"

namespace toplens {

/// Writes a netCDF-4 file that xarray, R and Julia open with named dimensions and labels. The file
/// appears whole or not at all. NaN is the _FillValue of floating-point variables; large
/// variables are lightly compressed, and a checksum of the whole file follows its end. Throws Error
/// naming the file and the variable, or the system's reason.
///
/// netCDF and HDF5 are not thread-safe: all calls of this header come from one thread at a time.
void write_netcdf(const std::filesystem::path& path, const Dataset& dataset);
/// What write_netcdf writes, for a file elsewhere; errors call it `name`.
std::string netcdf_contents(const std::string& name, const Dataset& dataset);

/// Entries [first, first + count) of one dimension.
struct DimensionSlice {
  std::string dimension;
  std::size_t first = 0;
  std::size_t count = 0;
};

/// A file written by write_netcdf, opened for reading piece by piece: the checksum of all of it is
/// compared once, and no more than what is asked for is ever in memory.
class NetcdfReader {
 public:
  /// Throws Error naming the file where it is absent, truncated, damaged, changed by another
  /// program or of a form that write_netcdf does not write.
  explicit NetcdfReader(const std::filesystem::path& path);
  ~NetcdfReader();
  NetcdfReader(NetcdfReader&&) noexcept;

  /// The variables `only` (none: all) and all coordinates, sorted by name, cut to the slice. Throws
  /// Error naming the file and the variable.
  Dataset read(const std::vector<std::string>& only = {},
               const std::optional<DimensionSlice>& slice = std::nullopt) const;
  /// Of the file as a whole.
  Attributes attributes() const;
  bool has_variable(const std::string& name) const;
  /// Throws Error where there is no such dimension.
  std::size_t dimension_size(const std::string& name) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// NetcdfReader(path).read(only).
Dataset read_netcdf(const std::filesystem::path& path, const std::vector<std::string>& only = {});

}  // namespace toplens
