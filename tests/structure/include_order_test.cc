#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "support/shared_data.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;

// A folder of src/ includes only itself and folders before it.
constexpr std::array<std::string_view, 20> kFolders = {
    "base",      "io",           "parallel",    "kernels", "statistics", "checkpoint", "tokenizer",
    "corpus",    "selection",    "observe",     "model",   "geometry",   "theory",     "measures",
    "selfcheck", "intervention", "interchange", "results", "report",     "cli"};

std::ptrdiff_t rank_of(const std::string& folder) {
  const auto found = std::find(kFolders.begin(), kFolders.end(), folder);
  return found == kFolders.end() ? -1 : found - kFolders.begin();
}

std::string first_folder(const fs::path& path) {
  const fs::path parent = path.parent_path();
  return parent.empty() ? "" : parent.begin()->string();
}

std::vector<std::string> quoted_includes(const fs::path& file) {
  static const std::regex pattern("^\\s*#\\s*include\\s*\"([^\"]+)\".*");
  std::ifstream stream(file);
  std::vector<std::string> includes;
  std::smatch match;
  for (std::string line; std::getline(stream, line);) {
    if (std::regex_match(line, match, pattern)) includes.push_back(match[1]);
  }
  return includes;
}

std::vector<fs::path> sources_under(const fs::path& root) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const fs::path extension = entry.path().extension();
    if (entry.is_regular_file() && (extension == ".h" || extension == ".cc")) {
      files.push_back(fs::relative(entry.path(), root));
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// One line for each broken rule in the source folder `root`.
std::vector<std::string> violations(const fs::path& root) {
  std::vector<std::string> found;
  for (const fs::path& file : sources_under(root)) {
    const std::string folder = first_folder(file);
    if (rank_of(folder) < 0) {
      found.push_back(file.string() + ": folder not in the list");
      continue;
    }
    for (const std::string& included : quoted_includes(root / file)) {
      const std::string where = file.string() + " includes " + included;
      if (!fs::exists(root / included)) {
        found.push_back(where + ": not a path from src/");
      } else if (rank_of(first_folder(included)) < 0) {
        found.push_back(where + ": folder not in the list");
      } else if (rank_of(first_folder(included)) > rank_of(folder)) {
        found.push_back(where + ": a later folder");
      }
    }
  }
  return found;
}

class MadeUpSources : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(::testing::TempDir()) / ("include_order_" + std::to_string(::getpid()));
    write("base/array.h", "#pragma once\n#include <vector>\n");
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const fs::path& file, const std::string& text) {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text;
  }

  fs::path root_;
};

TEST_F(MadeUpSources, EarlierFoldersAndLibrariesMayBeIncluded) {
  write("model/layer.h", "#include <toplens/error.h>\n#include \"base/array.h\"\n");
  write("model/layer.cc", "#include \"model/layer.h\"\n");
  EXPECT_THAT(violations(root_), ::testing::IsEmpty());
}

TEST_F(MadeUpSources, EveryBrokenRuleIsFound) {
  write("model/layer.h", "#pragma once\n");
  write("base/array.cc", "#include \"base/array.h\"\n  #  include \"model/layer.h\"  // why not\n");
  write("geometry/plot.cc", "#include \"array.h\"\n");
  write("helpers/misc.h", "#pragma once\n");
  write("cli/main.cc", "#include \"helpers/misc.h\"\n");
  write("stray.cc", "");
  EXPECT_THAT(violations(root_),
              ::testing::UnorderedElementsAre(
                  "base/array.cc includes model/layer.h: a later folder",
                  "geometry/plot.cc includes array.h: not a path from src/",
                  "cli/main.cc includes helpers/misc.h: folder not in the list",
                  "helpers/misc.h: folder not in the list", "stray.cc: folder not in the list"));
}

TEST(IncludeOrder, AFolderIncludesOnlyFoldersBeforeIt) {
  const fs::path root = testing::source_directory() / "src";
  ASSERT_THAT(sources_under(root), ::testing::Not(::testing::IsEmpty()));
  EXPECT_THAT(violations(root), ::testing::IsEmpty());
}

TEST(IncludeOrder, PublicHeadersIncludeNothingOfSrc) {
  const fs::path root = testing::source_directory() / "include";
  const std::vector<fs::path> headers = sources_under(root);
  ASSERT_THAT(headers, ::testing::Not(::testing::IsEmpty()));
  for (const fs::path& header : headers) {
    EXPECT_THAT(quoted_includes(root / header), ::testing::IsEmpty()) << header;
  }
}

}  // namespace
}  // namespace toplens
