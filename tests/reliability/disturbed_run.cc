#include "reliability/disturbed_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "base/random.h"
#include "io/atomic_file.h"
#include "results/run_directory.h"
#include "support/safetensors_writer.h"
#include "support/shared_data.h"

namespace toplens::testing {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLength = 40;

bool is_temporary(const std::string& name) {
  static const std::regex kPattern(R"((.*/)?\.[^/]+\.[0-9]+-[0-9]+\.tmp)");
  return std::regex_match(name, kPattern);
}

std::set<std::string> files_of(const fs::path& directory) {
  std::set<std::string> names;
  if (!fs::exists(directory)) return names;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (!entry.is_directory()) names.insert(entry.path().lexically_relative(directory));
  }
  return names;
}

/// run.json without what belongs to one process: all that remains decides the results. `files` is
/// there at the end only, and has the digest of a report that names its command line; the files
/// themselves are compared.
nlohmann::json comparable_run(const fs::path& run_directory) {
  nlohmann::json run = read_run_json(run_directory);
  for (const char* key : {"command_line", "started", "timings", "ranks", "threads", "gathered",
                          "peak_memory_bytes", "cpu_seconds", "status", "files"}) {
    run.erase(key);
  }
  return run;
}

/// The page without the item that names the command line and the time.
std::string comparable_report(const fs::path& path) {
  static const std::regex kMadeBy(R"("label":"Made by","text":"[^"]*")");
  const std::string page = read_text_file(path);
  // std::regex on the whole page, a million characters, is slow.
  const std::size_t at = page.find("\"label\":\"Made by\"");
  if (at == std::string::npos) return page;
  const std::size_t end = std::min(page.size(), at + 4000);
  return page.substr(0, at) +
         std::regex_replace(page.substr(at, end - at), kMadeBy, "",
                            std::regex_constants::format_first_only) +
         page.substr(end);
}

}  // namespace

AnalyzedRun::AnalyzedRun(const fs::path& model, std::size_t documents)
    : model_(scratch_ / "model") {
  copy_checkpoint(model, model_);
  Random random(2027);
  std::vector<std::int32_t> ids(documents * kLength);
  for (std::int32_t& id : ids) id = static_cast<std::int32_t>(random.below(319));
  write_npy_int32(scratch_ / "tokens.npy", {documents, kLength}, ids);
}

fs::path AnalyzedRun::directory(const std::string& name) const {
  fs::create_directories(scratch_ / name);
  return scratch_ / name / "run";
}

std::vector<std::string> AnalyzedRun::command(const fs::path& directory, bool resume) const {
  std::vector<std::string> arguments = {
      "analyze",          model_, "--tokens",    scratch_ / "tokens.npy",
      "--documents",      "1000", "--set-sizes", "1,4,16",
      "--random-repeats", "2",    "--measures",  "on",
      "--threads",        "1",    "--out",       directory};
  if (resume) arguments.emplace_back("--resume");
  return arguments;
}

CommandResult AnalyzedRun::run(const fs::path& directory, bool resume) const {
  return run_command(tool(), command(directory, resume));
}

std::vector<std::string> temporary_files(const fs::path& run_directory) {
  std::vector<std::string> found;
  for (const std::string& name : files_of(run_directory)) {
    if (is_temporary(name)) found.push_back(name);
  }
  return found;
}

void expect_whole_files(const fs::path& disturbed, const fs::path& whole, bool complete) {
  const std::set<std::string> names = files_of(disturbed);
  for (const std::string& name : names) {
    if (is_temporary(name)) {
      EXPECT_FALSE(complete) << name << " is left";
    } else if (name == "run.json") {
      EXPECT_EQ(comparable_run(disturbed), comparable_run(whole));
      if (complete) {
        EXPECT_EQ(read_run_json(disturbed)["status"], "complete");
      }
    } else if (!fs::exists(whole / name)) {
      ADD_FAILURE() << name << " is no file of a run";
    } else if (name == "report.html") {
      EXPECT_TRUE(comparable_report(disturbed / name) == comparable_report(whole / name)) << name;
    } else {
      EXPECT_TRUE(read_text_file(disturbed / name) == read_text_file(whole / name))
          << name << " differs";
    }
  }
  if (complete) {
    EXPECT_EQ(names, files_of(whole));
  }
}

}  // namespace toplens::testing
