#include <toplens/error.h>
#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "fuzz/support/baseline_run.h"
#include "fuzz/support/leaks_at_exit.h"
#include "io/atomic_file.h"
#include "io/json_text.h"

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
      {"run.json", {report, compare, recompute_theory}},
      {"regimes.json", {compare}},
      {"theory.json", {report}},
      {"budget.json", {report, read_budget}},
      {"interventions.json", {read_interventions}},
  };
  return kTargets;
}

}  // namespace

// The JSON files of a run directory, changed: the first byte says which file, the rest is a JSON
// merge patch (RFC 7396) of it, so that inputs come past a file's first checks whatever version of
// it is written. No command may do worse than refuse the directory with an Error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const BaselineRun& run = BaselineRun::get();
  const Target& target = targets()[data[0] % targets().size()];
  try {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const nlohmann::json patch = parse_json(text.substr(1), "fuzz");
    nlohmann::json json = parse_json(read_text_file(run.directory() / target.file), target.file);
    json.merge_patch(patch);
    run.replace(target.file, json.dump());
  } catch (const Error&) {
    return 0;
  }
  for (const auto& reader : target.readers) {
    try {
      reader(run);
    } catch (const Error&) {
    }
  }
  run.restore(target.file);
  return 0;
}
