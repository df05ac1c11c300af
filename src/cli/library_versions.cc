#include "cli/library_versions.h"

#include <gnu/libc-version.h>
#include <netcdf.h>

#include <armadillo>
#include <boost/version.hpp>
#include <dnnl.hpp>

#include <fmt/format.h>
#include <hwy/highway.h>

namespace toplens {

std::map<std::string, std::string> library_versions() {
  const dnnl_version_t* dnnl = dnnl_version();
  return {
      {"oneDNN", fmt::format("{}.{}.{}", dnnl->major, dnnl->minor, dnnl->patch)},
      {"netCDF", nc_inq_libvers()},
      {"glibc", gnu_get_libc_version()},  // its exp, log, ... differ in last bits
      {"Highway", fmt::format("{}.{}.{}", HWY_MAJOR, HWY_MINOR, HWY_PATCH)},
      {"Boost", fmt::format("{}.{}.{}", BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000,
                            BOOST_VERSION % 100)},
      {"Armadillo",
       fmt::format("{}.{}.{}", ARMA_VERSION_MAJOR, ARMA_VERSION_MINOR, ARMA_VERSION_PATCH)},
  };
}

}  // namespace toplens
