#pragma once

#include <filesystem>
#include <string_view>

namespace toplens::testing {

/// A new directory, in memory where the system has a place for that. It is removed when the process
/// ends as it should.
std::filesystem::path new_scratch_directory();

/// A file in a directory of its own, written anew for each input.
class ScratchFile {
 public:
  ScratchFile() : path_(new_scratch_directory() / "file") {}
  const std::filesystem::path& path() const { return path_; }
  void write(std::string_view contents) const;

 private:
  std::filesystem::path path_;
};

/// Not by way of a temporary file and fsync: nothing here has to survive.
void write_scratch(const std::filesystem::path& path, std::string_view contents);

}  // namespace toplens::testing
