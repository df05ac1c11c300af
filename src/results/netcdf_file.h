#pragma once

#include <filesystem>
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

/// Reads a file written by write_netcdf; with `only`, just those variables (and all coordinates),
/// sorted by name. Throws Error naming the file (and variable) where it is absent, truncated,
/// damaged, changed by another program or of a form that write_netcdf does not write.
Dataset read_netcdf(const std::filesystem::path& path, const std::vector<std::string>& only = {});

}  // namespace toplens
