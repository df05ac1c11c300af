#include <toplens/error.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "fuzz/support/baseline_run.h"
#include "fuzz/support/hostile_dataset.h"
#include "fuzz/support/leaks_at_exit.h"
#include "results/netcdf_file.h"

namespace {

using namespace toplens;
using testing::BaselineRun;

struct Target {
  const char* file;
  std::vector<void (*)(const BaselineRun&)> readers;
};

const std::vector<Target>& targets() {
  using namespace toplens::testing;
  static const std::vector<Target> kTargets = {
      {"geometry.nc", {report, compare}},
      {"heads.nc", {report, compare}},
      {"profiles.nc", {report}},
      {"interventions.nc", {report, read_interventions}},
      {"parts/part-0000.nc", {recompute_theory, pool_measures}},
      // Faults in both parts alike: else most are found where the parts are put together.
      {"", {recompute_theory, pool_measures}},
  };
  return kTargets;
}

}  // namespace

// The netCDF files of a run directory with faults in what they hold, not in their bytes: those are
// the netCDF library's, behind our checksum. No command may do worse than refuse the directory with
// an Error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const BaselineRun& run = BaselineRun::get();
  FuzzedDataProvider input(data, size);
  const auto which = input.ConsumeIntegralInRange<std::size_t>(0, targets().size() - 1);
  const Target& target = targets()[which];
  std::vector<std::string> files = {target.file};
  if (files[0].empty()) files = {"parts/part-0000.nc", "parts/part-0001.nc"};
  static std::vector<std::vector<Dataset>> valid(targets().size());
  if (valid[which].empty()) {
    for (const std::string& file : files) {
      valid[which].push_back(read_netcdf(run.directory() / file));
    }
  }
  const std::vector<std::uint8_t> faults = input.ConsumeRemainingBytes<std::uint8_t>();
  for (std::size_t i = 0; i < files.size(); ++i) {
    FuzzedDataProvider same(faults.data(), faults.size());
    const Dataset hostile = testing::with_faults(valid[which][i], same);
    try {
      run.replace(files[i], netcdf_contents(files[i], hostile));
    } catch (const Error&) {  // a name that netCDF does not take
    }
  }
  for (const auto& reader : target.readers) {
    try {
      reader(run);
    } catch (const Error&) {
    }
  }
  for (const std::string& file : files) run.restore(file);
  return 0;
}
