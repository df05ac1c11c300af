#include "fuzz/support/scratch_file.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

namespace toplens::testing {
namespace {

namespace fs = std::filesystem;

/// Of the process; one is enough for a fuzz target.
fs::path& scratch_root() {
  static fs::path root;
  return root;
}

}  // namespace

fs::path new_scratch_directory() {
  if (scratch_root().empty()) {
    std::error_code ignored;
    const fs::path memory = "/dev/shm";
    const fs::path parent = fs::is_directory(memory, ignored) ? memory : fs::temp_directory_path();
    std::string name = (parent / "toplens-fuzz-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) {
      std::perror(name.c_str());
      std::abort();
    }
    scratch_root() = name;
    std::atexit([] {
      std::error_code unheard;
      fs::remove_all(scratch_root(), unheard);
    });
  }
  static int made = 0;
  fs::path directory = scratch_root() / std::to_string(made++);
  fs::create_directory(directory);
  return directory;
}

void ScratchFile::write(std::string_view contents) const { write_scratch(path_, contents); }

void write_scratch(const fs::path& path, std::string_view contents) {
  std::ofstream(path, std::ios::binary) << contents;
}

}  // namespace toplens::testing
