#include "support/shared_data.h"

#include <algorithm>
#include <cstdlib>

namespace toplens::testing {

namespace fs = std::filesystem;

fs::path source_directory() { return TOPLENS_SOURCE_DIR; }

fs::path tool() { return TOPLENS_BINARY; }

fs::path shared_directory() {
  const char* from_environment = std::getenv("TOPLENS_SHARED_DATA");
  return from_environment != nullptr ? from_environment : TOPLENS_SHARED_DATA;
}

fs::path golden_directory() { return TOPLENS_GOLDEN; }

std::vector<fs::path> golden_models() {
  std::vector<fs::path> models;
  for (const auto& entry : fs::directory_iterator(golden_directory())) {
    if (entry.is_directory()) models.push_back(entry.path());
  }
  std::sort(models.begin(), models.end());
  return models;
}

bool have_shared(const fs::path& path) { return fs::exists(path); }

}  // namespace toplens::testing
