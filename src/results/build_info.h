#pragma once

#include <string>

namespace toplens {

struct BuildInfo {
  std::string version;
  std::string git_commit;  ///< empty where the build knew none
  std::string compiler;
};

BuildInfo build_info();

}  // namespace toplens
