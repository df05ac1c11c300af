#include "kernels/simd_level.h"

#include <cstdint>
#include <vector>

#include <fmt/format.h>
#include <hwy/highway.h>
#include <hwy/targets.h>
#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>
#include <toplens/error.h>

namespace toplens {
namespace {

std::string level_of(std::int64_t target) {
  switch (target) {
    case HWY_AVX3_DL:
      return "avx512-icelake";
    case HWY_AVX3:
      return "avx512";
    case HWY_AVX2:
      return "avx2";
    case HWY_SSE4:
      return "sse4";
    case HWY_SSSE3:
      return "ssse3";
    case HWY_NEON:
      return "neon";
    case HWY_SCALAR:
    case HWY_EMU128:
      return "baseline";
    default:
      return hwy::TargetName(target);
  }
}

/// Compiled in, and this machine has them; best first.
std::vector<std::int64_t> available_targets() {
  std::vector<std::int64_t> targets;
  for (const auto target : hwy::SupportedAndGeneratedTargets()) targets.push_back(target);
  return targets;
}

}  // namespace

void force_simd_level(std::string_view level) {
  std::vector<std::string> names;
  for (const std::int64_t target : available_targets()) {
    names.push_back(level_of(target));
    if (names.back() != level) continue;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    return;
  }
  throw Error(fmt::format("no SIMD level '{}' in this build on this machine; there are {}", level,
                          fmt::join(names, ", ")));
}

std::string active_simd_level() { return level_of(available_targets().front()); }

std::string matrix_product_level() {
  const std::string name = dnnl_cpu_isa2str(dnnl_get_effective_cpu_isa());
  return name.substr(name.rfind("cpu_isa_", 0) == 0 ? 8 : 0);
}

}  // namespace toplens
