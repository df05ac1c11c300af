#include "results/build_info.h"

#include <fmt/format.h>

// Defined by cmake/build_info.cmake for this file alone.
#ifndef TOPLENS_VERSION
#error "TOPLENS_VERSION is not defined"
#endif
#ifndef TOPLENS_GIT_COMMIT
#define TOPLENS_GIT_COMMIT ""
#endif

namespace toplens {

BuildInfo build_info() {
#if defined(__clang__)
  const std::string compiler =
      fmt::format("Clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
  const std::string compiler =
      fmt::format("GCC {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
  return {TOPLENS_VERSION, TOPLENS_GIT_COMMIT, compiler};
}

}  // namespace toplens
