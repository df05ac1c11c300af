#include "results/run_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>

#include <fmt/format.h>

#include "io/atomic_file.h"
#include "results/example_geometry.h"
#include "results/netcdf_file.h"
#include "results/temporary_directory.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using testing::error_of;
using testing::example_geometry;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::NanSensitiveFloatEq;
using ::testing::Pointwise;
using ::testing::StartsWith;
using testing::TemporaryDirectory;

RunManifest manifest_with_seed(std::uint64_t seed) {
  RunManifest manifest;
  manifest.protocol.seed = seed;
  manifest.documents_per_part = 2;
  return manifest;
}

class RunDirectoryTest : public ::testing::Test {
 protected:
  fs::path out() const { return directory_.path() / "out"; }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(out()))
      names.push_back(fs::relative(entry.path(), out()).string());
    std::sort(names.begin(), names.end());
    return names;
  }
  TemporaryDirectory directory_;
  RunManifest manifest_ = manifest_with_seed(1);
};

Dataset part(std::size_t first_document) {
  return example_geometry(2, 1, 2, {2, 4}, {"attention"}, {"euclidean"}, first_document);
}

TEST_F(RunDirectoryTest, ResumedRunHasThePartsOfTheFirst) {
  {
    RunDirectory run = RunDirectory::create(out(), manifest_);
    EXPECT_THAT(run.finished_parts(), IsEmpty());
    run.write_part(1, part(2));
  }
  EXPECT_EQ(RunDirectory::recorded_documents_per_part(out()), 2);
  RunManifest again = manifest_;
  again.threads = 9;
  RunDirectory run = RunDirectory::resume(out(), again);
  EXPECT_THAT(run.finished_parts(), ElementsAre(1));
  run.write_part(0, part(0));
  const Dataset pooled = run.open_parts(2).read();
  EXPECT_THAT(pooled.labels<std::string>("document"),
              ElementsAre("story.txt@0", "story.txt@63", "story.txt@126", "story.txt@189"));
  const Dataset expected = example_geometry(4, 1, 2, {2, 4}, {"attention"});
  EXPECT_THAT(pooled.values<float>("margin"),
              Pointwise(NanSensitiveFloatEq(), expected.values<float>("margin")));
  run.write_dataset("geometry.nc", pooled);
  run.write_text("heads.csv", "layer\n");
  again.complete = true;
  run.write_manifest(again);
  EXPECT_EQ(read_run_json(out())["status"], "complete");
  EXPECT_THAT(files(), ElementsAre("geometry.nc", "heads.csv", "parts", "parts/part-0000.nc",
                                   "parts/part-0001.nc", "run.json"));
}

TEST_F(RunDirectoryTest, ACompleteRunListsItsFiles) {
  RunDirectory::record_later_results(out(), {"report.html"});  // no run, nothing to record
  {
    RunDirectory run = RunDirectory::create(out(), manifest_);
    run.write_part(0, part(0));
    run.write_text("heads.csv", "layer\n");
    EXPECT_FALSE(read_run_json(out()).contains("files"));
    RunDirectory::record_later_results(out(), {"heads.csv"});  // nor here: it is not complete
    run.complete(manifest_);
    std::ofstream(out() / "report.html") << "<html>";
    run.add_result("report.html", manifest_);
    EXPECT_THAT(error_of([&] { RunDirectory::record_later_results(out(), {"heads.csv"}); }),
                HasSubstr("another process is writing this run"));
  }
  auto run = read_run_json(out());
  EXPECT_EQ(run["status"], "complete");
  const std::optional<FileRecords> files = files_of(run, "run.json");
  ASSERT_TRUE(files.has_value());
  EXPECT_EQ(files->size(), 3u);
  EXPECT_EQ(files->at("heads.csv").sha256, sha256("layer\n"));
  EXPECT_EQ(files->at("report.html").bytes, 6u);
  EXPECT_TRUE(files->contains("parts/part-0000.nc"));
  EXPECT_THAT(compare_files(out(), *files, {}).changed, IsEmpty());

  std::ofstream(out() / "report.html") << "<html></html>";
  std::ofstream(out() / "budget.json") << "{}";
  FileDifferences found = compare_files(out(), *files, {});
  EXPECT_THAT(found.changed, ElementsAre("'report.html' has 13 bytes, recorded are 6"));
  EXPECT_THAT(found.unlisted, ElementsAre("budget.json"));
  fs::remove(out() / "heads.csv");
  RunDirectory::record_later_results(out(), {"report.html", "budget.json", "heads.csv"});
  run = read_run_json(out());
  EXPECT_EQ(first_difference(run["settings"], manifest_.settings()), "");
  EXPECT_EQ(read_text_file(out() / "run.json").find("{\n  \"schema_version\""), 0u);
  found = compare_files(out(), *files_of(run, "run.json"), {});
  EXPECT_THAT(found.changed, IsEmpty());
  EXPECT_THAT(found.unlisted, IsEmpty());
}

// budget.json and the like are no results of analyze: a resumed run neither makes them anew nor
// forgets them.
TEST_F(RunDirectoryTest, AResumedRunKeepsTheRecordsOfFilesThatAreStillTheSame) {
  const auto files_now = [&] { return files_of(read_run_json(out()), "run.json"); };
  const auto finish = [&](RunDirectory& run, const std::string& csv) {
    RunManifest manifest = manifest_;
    run.write_text("heads.csv", csv);
    constexpr std::string_view kReport = "report.html";
    run.complete(manifest, {&kReport, 1});
    EXPECT_FALSE(files_now()->contains("report.html"));  // as long as it may be replaced
    std::ofstream(out() / kReport) << csv;
    run.add_result("report.html", manifest);
  };
  {
    RunDirectory run = RunDirectory::create(out(), manifest_);
    run.write_part(0, part(0));
    finish(run, "first\n");
  }
  const std::vector<std::string> later = {"budget.json", "changed.json", "removed.json"};
  for (const std::string& name : later) std::ofstream(out() / name) << "{}";
  RunDirectory::record_later_results(out(), later);
  ASSERT_EQ(files_now()->size(), 6u);

  { RunDirectory::resume(out(), manifest_); }  // killed at once
  EXPECT_EQ(read_run_json(out())["status"], "running");
  std::ofstream(out() / "changed.json") << "[]";
  fs::remove(out() / "removed.json");
  {
    RunDirectory run = RunDirectory::resume(out(), manifest_);
    finish(run, "second\n");
  }
  EXPECT_EQ(read_run_json(out())["status"], "complete");
  const FileRecords files = *files_now();
  std::vector<std::string> names;
  for (const auto& [name, record] : files) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("budget.json", "heads.csv", "parts/part-0000.nc", "report.html"));
  EXPECT_EQ(files.at("budget.json").sha256, sha256("{}"));
  EXPECT_EQ(files.at("heads.csv").sha256, sha256("second\n"));
  const FileDifferences found = compare_files(out(), files, {});
  EXPECT_THAT(found.changed, IsEmpty());
  EXPECT_THAT(found.unlisted, ElementsAre("changed.json"));
}

TEST_F(RunDirectoryTest, LaterRecordsRemoveWhatAKilledProcessLeftOfTheManifest) {
  {
    RunDirectory run = RunDirectory::create(out(), manifest_);
    run.complete(manifest_);
  }
  const pid_t child = fork();
  if (child == 0) _exit(0);
  waitpid(child, nullptr, 0);
  const fs::path left = out() / fmt::format(".run.json.{}-0.tmp", child);
  std::ofstream(left) << "{";
  RunDirectory::record_later_results(out(), {"budget.json"});
  EXPECT_FALSE(fs::exists(left));
}

TEST_F(RunDirectoryTest, PartsSayWhatComputedThem) {
  RunDirectory run = RunDirectory::create(out(), manifest_);
  run.write_part(0, part(0));
  RunManifest elsewhere = manifest_;
  elsewhere.library_versions = {{"oneDNN", "9"}};
  write_file_atomically(run.part_path(1), RunDirectory::part_contents(1, part(2), elsewhere));
  const PartsReader parts = run.open_parts(2);
  EXPECT_EQ(first_difference(parts.environment(0), manifest_.environment()), "");
  EXPECT_EQ(parts.environment(1)["libraries"]["oneDNN"], "9");
  EXPECT_EQ(parts.read().dimension_size("document"), 4u);  // no reason not to pool them
  EXPECT_EQ(parts.read_documents(1, 1, 1).labels<std::string>("document")[0], "story.txt@189");
}

TEST_F(RunDirectoryTest, ResumeRefusesOtherWeightsWhereBothAreDigested) {
  EXPECT_FALSE(RunDirectory::records_weight_files(out()));
  manifest_.model.digests.weight_files = {{"a.safetensors", "1"}, {"b.safetensors", "2"}};
  { RunDirectory::create(out(), manifest_); }
  EXPECT_TRUE(RunDirectory::records_weight_files(out()));
  RunManifest other = manifest_;
  other.model.digests.weight_files["b.safetensors"] = "3";
  EXPECT_THAT(error_of([&] { RunDirectory::resume(out(), other); }),
              HasSubstr("SHA-256 differs of b.safetensors (\"2\" there, \"3\" here)"));
  other.model.digests.weight_files = {};
  EXPECT_EQ(error_of([&] { RunDirectory::resume(out(), other); }), "no error");
}

TEST_F(RunDirectoryTest, CreateRefusesWhatIsThere) {
  const std::string path = out().string();
  const auto create = [&](std::uint64_t seed) {
    return error_of([&] { RunDirectory::create(out(), manifest_with_seed(seed)); });
  };
  fs::create_directories(out());
  std::ofstream(out() / "notes.txt") << "mine";
  EXPECT_EQ(create(1), path +
                           ": the output directory is not empty and holds no run ('notes.txt'); "
                           "choose another --out");
  fs::remove(out() / "notes.txt");
  EXPECT_EQ(create(1), "no error");
  EXPECT_EQ(create(1), path +
                           ": the output directory holds this very run, unfinished; go on with "
                           "--resume, or choose another --out");
  EXPECT_EQ(create(5), path +
                           ": the output directory holds another run: settings differ in "
                           "protocol.seed (1 there, 5 here); choose another --out");
  {
    RunDirectory run = RunDirectory::resume(out(), manifest_);
    manifest_.complete = true;
    run.write_manifest(manifest_);
  }
  EXPECT_THAT(create(1), HasSubstr("holds this very run, complete; choose another --out"));
  std::ofstream(directory_.path() / "file") << "x";
  EXPECT_THAT(error_of([&] { RunDirectory::create(directory_.path() / "file", manifest_); }),
              HasSubstr("file: cannot make the output directory: "));
}

TEST_F(RunDirectoryTest, ResumeRefusesOtherRuns) {
  const std::string path = out().string();
  const auto resume = [&](const RunManifest& manifest) {
    return error_of([&] { RunDirectory::resume(out(), manifest); });
  };
  EXPECT_EQ(resume(manifest_),
            path + ": nothing to resume: no such directory; leave --resume out to start");
  { RunDirectory::create(out(), manifest_); }
  EXPECT_EQ(resume(manifest_with_seed(5)),
            path +
                ": cannot resume another run: settings differ in protocol.seed (1 there, 5 "
                "here); use the settings of that run, or another --out");
  RunManifest other_parts = manifest_;
  other_parts.documents_per_part = 3;
  EXPECT_EQ(resume(other_parts), path + ": cannot resume with 3 documents per part, the run has 2");
  std::ofstream(out() / "run.json") << R"({"schema_version": 2})";
  EXPECT_EQ(resume(manifest_),
            (out() / "run.json").string() + ": has schema_version 2, this toplens reads 1");
  std::ofstream(out() / "run.json") << "{\"schema_ver";
  EXPECT_THAT(resume(manifest_), StartsWith((out() / "run.json").string()));
  std::ofstream(out() / "run.json") << R"({"schema_version": 1, "status": "running"})";
  EXPECT_THAT(resume(manifest_), HasSubstr("is no run.json of toplens: no settings"));
}

// What create() and resume() would say, before anything costly is done for them.
TEST_F(RunDirectoryTest, ChecksSayTheSameAndChangeNothing) {
  const auto same_message = [&](const RunManifest& manifest, bool resume) {
    const std::string checked = error_of([&] {
      resume ? RunDirectory::check_resume(out(), manifest)
             : RunDirectory::check_create(out(), manifest);
    });
    const std::vector<std::string> before =
        fs::is_directory(out()) ? files() : std::vector<std::string>{};
    const std::string message = error_of([&] {
      resume ? RunDirectory::resume(out(), manifest) : RunDirectory::create(out(), manifest);
    });
    EXPECT_EQ(checked, message);
    EXPECT_NE(checked, "no error");
    EXPECT_EQ(fs::is_directory(out()) ? files() : std::vector<std::string>{}, before);
  };
  EXPECT_EQ(error_of([&] { RunDirectory::check_create(out(), manifest_); }), "no error");
  EXPECT_FALSE(fs::exists(out()));
  same_message(manifest_, true);
  std::ofstream(out()) << "a file";
  same_message(manifest_, false);
  fs::remove(out());
  fs::create_directories(out());
  std::ofstream(out() / "notes.txt") << "mine";
  same_message(manifest_, false);
  same_message(manifest_, true);
  fs::remove(out() / "notes.txt");
  { RunDirectory::create(out(), manifest_); }
  std::ofstream(out() / ".run.json.123-0.tmp") << "{";
  EXPECT_EQ(error_of([&] { RunDirectory::check_resume(out(), manifest_); }), "no error");
  EXPECT_TRUE(fs::exists(out() / ".run.json.123-0.tmp"));
  same_message(manifest_, false);
  same_message(manifest_with_seed(5), false);
  same_message(manifest_with_seed(5), true);
  RunManifest other_parts = manifest_;
  other_parts.documents_per_part = 3;
  same_message(other_parts, true);
}

TEST_F(RunDirectoryTest, LeftoversOfAKilledRunGoAndNothingElse) {
  { RunDirectory::create(out(), manifest_).write_part(0, part(0)); }
  const std::vector<std::string> leftovers = {".run.json.123-0.tmp", ".geometry.nc.99-1.tmp",
                                              "parts/.part-0001.nc.123-0.tmp"};
  const std::vector<std::string> foreign = {".notes.tmp", "notes.txt", "parts/.my-part.nc.1-0.tmp",
                                            "parts/part-0001.nc.bak"};
  for (const auto* names : {&leftovers, &foreign})
    for (const std::string& name : *names) std::ofstream(out() / name) << "x";
  const RunDirectory run = RunDirectory::resume(out(), manifest_);
  for (const std::string& name : leftovers) EXPECT_FALSE(fs::exists(out() / name)) << name;
  for (const std::string& name : foreign) EXPECT_TRUE(fs::exists(out() / name)) << name;
  EXPECT_THAT(run.finished_parts(), ElementsAre(0));
}

// Killed while the temporary file of a part exists: SIGKILL lets nothing be cleaned up.
TEST_F(RunDirectoryTest, KilledWriteLeavesOnlyWholeFiles) {
  const pid_t child = fork();
  if (child == 0) {
    try {
      RunDirectory run = RunDirectory::create(out(), manifest_);
      run.write_part(0, part(0));
      write_file_atomically(run.part_path(1), [](const fs::path& temporary) {
        std::ofstream(temporary) << "half a part" << std::flush;
        std::raise(SIGKILL);
      });
    } catch (const Error&) {
    }
    _exit(1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(files().size(), 4u);  // run.json, parts, one part, and the half one under its own name
  const RunDirectory run = RunDirectory::resume(out(), manifest_);
  EXPECT_THAT(run.finished_parts(), ElementsAre(0));
  EXPECT_THAT(files(), ElementsAre("parts", "parts/part-0000.nc", "run.json"));
}

TEST_F(RunDirectoryTest, RunKilledBeforeItsManifestStartsAnew) {
  fs::create_directories(out() / "parts");
  std::ofstream(out() / ".run.json.123-0.tmp") << "{";
  EXPECT_EQ(RunDirectory::recorded_documents_per_part(out()), 0);
  const RunDirectory run = RunDirectory::resume(out(), manifest_);
  EXPECT_THAT(files(), ElementsAre("parts", "run.json"));
}

TEST_F(RunDirectoryTest, TwoWritersAreRefused) {
  const RunDirectory run = RunDirectory::create(out(), manifest_);
  EXPECT_THAT(error_of([&] { RunDirectory::resume(out(), manifest_); }),
              HasSubstr("another process is writing this run"));
}

TEST_F(RunDirectoryTest, PartsThatAreMissingDamagedOrForeignAreNamed) {
  RunDirectory run = RunDirectory::create(out(), manifest_);
  run.write_part(0, part(0));
  const std::string second = run.part_path(1).string();
  EXPECT_EQ(error_of([&] { run.open_parts(2); }),
            second +
                ": cannot open: No such file or directory; remove the part if it is there and "
                "run again with --resume");
  std::ofstream(run.part_path(1)) << "nonsense";
  EXPECT_THAT(error_of([&] { run.open_parts(2); }), StartsWith(second + ": is no netCDF-4 file;"));
  write_netcdf(run.part_path(1), part(2));
  EXPECT_EQ(error_of([&] { run.open_parts(2); }),
            second + ": is a part of another run; remove it and run again with --resume");
}

TEST_F(RunDirectoryTest, UnwritableDirectoryIsAnError) {
  if (geteuid() == 0) {
    // Root writes anywhere but to file systems that hold no files.
    EXPECT_THAT(error_of([&] { RunDirectory::create("/proc/toplens-test", manifest_); }),
                StartsWith("/proc/toplens-test: cannot make the output directory: "));
    return;
  }
  fs::create_directories(out());
  fs::permissions(out(), fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_THAT(error_of([&] { RunDirectory::create(out(), manifest_); }),
              HasSubstr("Permission denied"));
  fs::permissions(out(), fs::perms::owner_all);
}

void expect_failed_part_leaves_nothing(const fs::path& out, const std::string& reason,
                                       RunDirectory& run) {
  const Dataset large = example_geometry(8, 8, 16, {1, 2, 4, 8, 16, 32});
  const std::string message = error_of([&] {
    for (int index = 1; index < 100; ++index) run.write_part(index, large);
  });
  EXPECT_THAT(message, StartsWith((out / "parts/part-").string()));
  EXPECT_THAT(message, HasSubstr(reason));
  EXPECT_EQ(message.find('\n'), std::string::npos);
  for (const int index : run.finished_parts()) EXPECT_NO_THROW(read_netcdf(run.part_path(index)));
  for (const auto& entry : fs::recursive_directory_iterator(out))
    EXPECT_NE(entry.path().extension(), ".tmp") << entry.path();
}

TEST_F(RunDirectoryTest, FullDiskIsOneErrorAndNothingHalfWritten) {
  fs::create_directories(out());
  if (mount("tmpfs", out().c_str(), "tmpfs", 0, "size=256k") != 0)
    GTEST_SKIP() << "SKIPPED, no tmpfs can be mounted here: " << std::strerror(errno);
  // Detached also where the test fails.
  struct Unmount {
    fs::path path;
    ~Unmount() { umount2(path.c_str(), MNT_DETACH); }
  } const unmount{out()};
  RunDirectory run = RunDirectory::create(out(), manifest_);
  run.write_part(0, part(0));
  expect_failed_part_leaves_nothing(out(), "No space left on device", run);
}

TEST_F(RunDirectoryTest, FileSizeLimitIsOneErrorAndNothingHalfWritten) {
  RunDirectory run = RunDirectory::create(out(), manifest_);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{20000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  expect_failed_part_leaves_nothing(out(), "File too large", run);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
}

}  // namespace
}  // namespace toplens
