// A run, and the same run with one fault each: the check that should find it does.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/verify.h"
#include "io/atomic_file.h"
#include "results/digest.h"
#include "results/netcdf_file.h"
#include "support/command.h"
#include "support/scratch_directory.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::CommandResult;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testing::run_command;
using testing::ScratchDirectory;

/// "check: status" -> reason.
struct Verification {
  int exit_code = -1;
  std::string err;
  std::map<std::string, std::string> status, reason;

  std::vector<std::string> with(const std::string& wanted) const {
    std::vector<std::string> names;
    for (const auto& [name, found] : status) {
      if (found == wanted) names.push_back(name);
    }
    return names;
  }
};

Verification verify(const fs::path& run, const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {"verify", run, "--json"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const CommandResult result = run_command(testing::tool(), arguments);
  Verification found;
  found.exit_code = result.exit_code;
  found.err = result.err;
  for (const nlohmann::json& check : nlohmann::json::parse(result.out)) {
    EXPECT_NE(check.at("asks"), "");
    EXPECT_NE(check.at("reason"), "");
    found.status[check.at("check")] = check.at("status");
    found.reason[check.at("check")] = check.at("reason");
  }
  EXPECT_EQ(found.status.size(), 10u);
  return found;
}

/// 10 documents of the demo model in two parts; paths are relative to the directory it began in.
class VerifyCommand : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    base_ = std::make_unique<ScratchDirectory>();
    const fs::path demo = testing::source_directory() / "demo";
    fs::copy(demo / "model", *base_ / "model");
    const std::string text = read_text_file(demo / "text" / "held_out.txt").substr(0, 20000);
    std::ofstream(*base_ / "text.txt") << text;
    testing::write_npy(*base_ / "scores.npy", {6, 8}, std::vector<float>(48, 0.5f));
    const fs::path before = fs::current_path();
    fs::current_path(base_->path());
    std::vector<std::string> arguments = analyze("model", "run");
    arguments.insert(arguments.end(), {"--compare-with", "scores.npy"});
    const CommandResult result = run_command(testing::tool(), arguments);
    fs::current_path(before);
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }
  static void TearDownTestSuite() { base_.reset(); }

  static std::vector<std::string> analyze(const std::string& model, const std::string& out) {
    return {"analyze",     model, "--text",      "text.txt", "--context-length", "64",
            "--documents", "10",  "--set-sizes", "1,4,16",   "--random-repeats", "2",
            "--compute",   "f32", "--out",       out};
  }
  static fs::path base(const std::string& name) { return *base_ / name; }
  /// A copy that a test may damage.
  fs::path copy_of_run() const {
    fs::copy(base("run"), scratch_ / "run", fs::copy_options::recursive);
    return scratch_ / "run";
  }
  static nlohmann::ordered_json manifest(const fs::path& run) {
    return nlohmann::ordered_json::parse(read_text_file(run / "run.json"));
  }
  static void write_manifest(const fs::path& run, const nlohmann::ordered_json& json) {
    write_file_atomically(run / "run.json", json.dump(2));
  }
  /// Someone who edits a file and its record.
  static void record_again(const fs::path& run, const std::string& name) {
    nlohmann::ordered_json json = manifest(run);
    json["files"][name] = {{"bytes", fs::file_size(run / name)},
                           {"sha256", sha256_file(run / name)}};
    write_manifest(run, json);
  }
  static void change_value(const fs::path& part) {
    Dataset dataset = read_netcdf(part);
    dataset.mutable_values<float>("f_score")[20] += 0.25f;
    write_netcdf(part, dataset);
  }
  /// Weights between the pieces that every run digests.
  fs::path model_with_other_weights() const {
    fs::copy(base("model"), scratch_ / "model");
    const fs::path path = scratch_ / "model" / "model.safetensors";
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    std::uint64_t header = 0;
    file.read(reinterpret_cast<char*>(&header), sizeof(header));
    header += sizeof(header);
    const std::uint64_t data = fs::file_size(path) - header;
    const std::uint64_t piece = (data - 4096) * 30 / 63, next = (data - 4096) * 31 / 63;
    file.seekp(
        static_cast<std::streamoff>((header + (piece + 4096 + next) / 2) & ~std::uint64_t{1}));
    for (int i = 0; i < 64; ++i) file.write("\x80\x3f", 2);  // 1.0 in bf16
    return scratch_ / "model";
  }

  static std::unique_ptr<ScratchDirectory> base_;
  ScratchDirectory scratch_;
};
std::unique_ptr<ScratchDirectory> VerifyCommand::base_;

TEST_F(VerifyCommand, AnUntouchedRunPasses) {
  const Verification found = verify(base("run"));
  EXPECT_EQ(found.exit_code, 0) << found.err;
  EXPECT_EQ(found.with("pass").size(), 10u);
  EXPECT_THAT(found.reason.at("files"), HasSubstr("9 files"));
  EXPECT_THAT(found.reason.at("rerun"), HasSubstr("all bit for bit as recorded"));
  const CommandResult shown =
      run_command(testing::tool(), {"verify", base("run"), "--documents", "0"});
  EXPECT_EQ(shown.exit_code, 0) << shown.err;
  EXPECT_EQ(shown.err, "");  // no terminal, and soon over
  EXPECT_THAT(shown.out,
              AllOf(HasSubstr("  parts        pass     2 parts with 10 documents"),
                    HasSubstr("  run          pass     complete: 10 documents in 2 parts"),
                    HasSubstr("9 pass, 0 warn, 0 fail, 1 skipped\n")));
}

TEST_F(VerifyCommand, OneDocumentInOnePart) {
  std::vector<std::string> arguments = analyze(base("model"), scratch_ / "one");
  arguments[3] = base("text.txt");
  arguments[7] = "1";
  ASSERT_EQ(run_command(testing::tool(), arguments).exit_code, 0);
  const Verification found = verify(scratch_ / "one", {"--documents", "0"});
  EXPECT_THAT(found.reason.at("run"), HasSubstr("complete: 1 document in 1 part, started"));
  EXPECT_THAT(found.reason.at("parts"), HasSubstr("1 part with 1 document:"));
}

/// Checks that were begun, and how far each came.
class RecordingListener : public VerifyListener {
 public:
  void start(std::string_view check) override { progress.emplace_back(check, Advances()); }
  void advance(std::uint64_t done, std::uint64_t total) override {
    progress.back().second.emplace_back(done, total);
  }
  using Advances = std::vector<std::pair<std::uint64_t, std::uint64_t>>;
  std::vector<std::pair<std::string, Advances>> progress;
};

TEST_F(VerifyCommand, TellsHowFarItIs) {
  VerifyArguments arguments;
  arguments.run = base("run");
  arguments.model = base("model");
  arguments.text = base("text.txt");
  arguments.documents = 3;
  RecordingListener listener;
  const std::vector<CheckResult> results = verify_run(arguments, listener);
  ASSERT_EQ(listener.progress.size(), results.size());
  const nlohmann::ordered_json recorded = manifest(base("run"));
  std::uint64_t pieces = 0;  // of at most 1 MiB
  for (const auto& file : recorded.at("files")) {
    pieces += (file.at("bytes").get<std::uint64_t>() + (1 << 20) - 1) >> 20;
  }
  const auto layers = recorded.at("model").at("num_layers").get<std::uint64_t>();
  for (std::size_t i = 0; i < results.size(); ++i) {
    const auto& [check, advances] = listener.progress[i];
    EXPECT_EQ(check, results[i].name);
    EXPECT_EQ(results[i].finding.status, CheckStatus::pass) << results[i].finding.reason;
    if (check != "files" && check != "rerun") continue;
    const std::uint64_t total = check == "files" ? pieces : 3 * layers;
    ASSERT_FALSE(advances.empty()) << check;
    EXPECT_EQ(advances.back(), std::pair(total, total)) << check;
    EXPECT_TRUE(std::is_sorted(advances.begin(), advances.end())) << check;
    for (const auto& [done, of] : advances) EXPECT_EQ(of, total) << check;
  }
}

TEST_F(VerifyCommand, AChangedNumberInAPart) {
  const fs::path run = copy_of_run();
  change_value(run / "parts" / "part-0001.nc");
  Verification found = verify(run, {"--documents", "10"});
  EXPECT_EQ(found.exit_code, 1);
  EXPECT_THAT(found.err, HasSubstr("3 of 10 checks failed"));
  EXPECT_THAT(found.with("fail"), ElementsAre("files", "rerun", "tables"));
  EXPECT_THAT(found.reason.at("files"),
              AllOf(HasSubstr("'parts/part-0001.nc'"), HasSubstr("SHA-256")));
  EXPECT_THAT(found.reason.at("tables"), HasSubstr("do not follow from the parts"));
  record_again(run, "parts/part-0001.nc");
  found = verify(run, {"--documents", "10"});
  EXPECT_THAT(found.with("fail"), ElementsAre("rerun", "tables"));
  EXPECT_THAT(found.reason.at("rerun"),
              AllOf(HasSubstr("1 of "), HasSubstr("f_score of document 8"), HasSubstr("layer 0"),
                    HasSubstr("set_size")));
}

TEST_F(VerifyCommand, ATruncatedPart) {
  const fs::path run = copy_of_run();
  fs::resize_file(run / "parts" / "part-0000.nc", 5000);
  const Verification found = verify(run);
  EXPECT_EQ(found.exit_code, 1);
  EXPECT_THAT(found.with("fail"), ElementsAre("files", "parts"));
  EXPECT_THAT(found.with("skipped"), ElementsAre("rerun", "tables"));
  EXPECT_THAT(found.reason.at("files"), HasSubstr("has 5000 bytes, recorded are"));
  EXPECT_THAT(found.reason.at("parts"), AllOf(HasSubstr("part-0000.nc"), HasSubstr("--resume")));
}

TEST_F(VerifyCommand, AMissingFile) {
  const fs::path run = copy_of_run();
  fs::remove(run / "theory.json");
  const Verification found = verify(run, {"--documents", "0"});
  EXPECT_EQ(found.exit_code, 1);
  EXPECT_THAT(found.with("fail"), ElementsAre("files", "tables"));
  EXPECT_THAT(found.reason.at("files"), HasSubstr("'theory.json' is missing"));
  EXPECT_THAT(found.reason.at("tables"), HasSubstr("theory.json"));
}

TEST_F(VerifyCommand, AnEditedTable) {
  const fs::path run = copy_of_run();
  std::string csv = read_text_file(run / "heads.csv");
  const std::size_t second = csv.find('\n', csv.find('\n') + 1) + 1;
  csv[second] = '7';
  write_file_atomically(run / "heads.csv", csv);
  record_again(run, "heads.csv");
  const Verification found = verify(run, {"--documents", "0"});
  EXPECT_EQ(found.exit_code, 1);
  EXPECT_THAT(found.with("fail"), ElementsAre("tables"));
  EXPECT_THAT(found.reason.at("tables"),
              HasSubstr("heads.csv: line 3, column 'layer': '7' in the file, '0' from the parts"));
}

TEST_F(VerifyCommand, AnotherText) {
  std::string text = read_text_file(base("text.txt"));
  text[0] = text[0] == 'X' ? 'Y' : 'X';
  std::ofstream(scratch_ / "text.txt") << text;
  const Verification found = verify(base("run"), {"--text", scratch_ / "text.txt"});
  EXPECT_EQ(found.exit_code, 1);
  EXPECT_THAT(found.with("fail"), ElementsAre("text"));
  EXPECT_THAT(found.with("skipped"), ElementsAre("rerun", "tables"));
  EXPECT_THAT(found.reason.at("text"), HasSubstr("tokens_sha256"));
  EXPECT_THAT(verify(base("run"), {"--text", scratch_ / "none.txt"}).reason.at("text"),
              HasSubstr("none.txt: is not there; say by --text"));
}

TEST_F(VerifyCommand, OtherWeightsAreFoundByTheRerunOrTheirDigest) {
  const fs::path model = model_with_other_weights();
  Verification found = verify(base("run"), {"--model", model});
  EXPECT_EQ(found.exit_code, 1);
  EXPECT_THAT(found.with("fail"), ElementsAre("rerun"));
  EXPECT_THAT(found.reason.at("model"), HasSubstr("--digest-weights"));
  EXPECT_THAT(found.reason.at("rerun"), HasSubstr("values differ"));

  std::vector<std::string> arguments = analyze(base("model"), scratch_ / "digested");
  arguments[3] = base("text.txt");
  arguments.emplace_back("--digest-weights");
  const CommandResult digested = run_command(testing::tool(), arguments);
  ASSERT_EQ(digested.exit_code, 0) << digested.err;
  EXPECT_EQ(manifest(scratch_ / "digested")["model"]["weights_sha256"]["model.safetensors"],
            sha256_file(base("model") / "model.safetensors"));
  found = verify(scratch_ / "digested", {"--documents", "0"});
  EXPECT_THAT(found.with("fail"), IsEmpty());
  EXPECT_THAT(found.reason.at("model"), HasSubstr("1 weight file of"));
  found = verify(scratch_ / "digested", {"--documents", "0", "--model", model});
  EXPECT_THAT(found.with("fail"), ElementsAre("model"));
  EXPECT_THAT(found.reason.at("model"), HasSubstr("model.safetensors"));
  // Nor does a resumed run go on with them, asked for digests or not.
  arguments.pop_back();
  arguments[1] = model;
  arguments.emplace_back("--resume");
  const CommandResult resumed = run_command(testing::tool(), arguments);
  EXPECT_EQ(resumed.exit_code, 1);
  EXPECT_THAT(resumed.err, AllOf(HasSubstr("reading all weights"), HasSubstr("SHA-256 differs")));
  EXPECT_THAT(resumed.err, HasSubstr("weights are not those"));
  // All weights are read only where nothing else is in the way.
  arguments[1] = base("model");
  for (const bool resume : {true, false}) {
    if (resume) {
      arguments.insert(arguments.end(), {"--seed", "5"});
    } else {
      arguments.resize(arguments.size() - 3);
      arguments.emplace_back("--digest-weights");
    }
    const CommandResult refused = run_command(testing::tool(), arguments);
    EXPECT_EQ(refused.exit_code, 1);
    EXPECT_THAT(refused.err, HasSubstr(resume ? "cannot resume another run: settings differ in "
                                                "protocol.seed (2027 there, 5 here)"
                                              : "holds this very run, complete"));
    EXPECT_THAT(refused.err, Not(HasSubstr("reading all weights")));
  }
}

TEST_F(VerifyCommand, AnotherModel) {
  fs::copy(base("model"), scratch_ / "model");
  std::ofstream(scratch_ / "model" / "config.json", std::ios::app) << "\n";
  const Verification found = verify(base("run"), {"--model", scratch_ / "model"});
  EXPECT_EQ(found.exit_code, 1);
  EXPECT_THAT(found.with("fail"), ElementsAre("model"));
  EXPECT_THAT(found.reason.at("model"), HasSubstr("config_sha256"));
  const Verification none = verify(base("run"), {"--model", scratch_ / "none"});
  EXPECT_THAT(none.with("fail"), ElementsAre("model"));
  EXPECT_THAT(none.with("skipped"), ElementsAre("protocol", "rerun", "tables", "text"));
  EXPECT_THAT(none.reason.at("model"), HasSubstr("none: is not there; say by --model"));
}

TEST_F(VerifyCommand, AnIncompleteRunSaysHowToGoOn) {
  const fs::path run = copy_of_run();
  nlohmann::ordered_json json = manifest(run);
  json["status"] = "running";
  json.erase("files");
  write_manifest(run, json);
  const Verification found = verify(run);
  EXPECT_EQ(found.exit_code, 1);
  EXPECT_THAT(found.with("fail"), ElementsAre("run"));
  EXPECT_EQ(found.with("skipped").size(), 9u);
  EXPECT_THAT(found.reason.at("run"),
              AllOf(HasSubstr("analyze model --text text.txt"), HasSubstr("--resume")));
}

TEST_F(VerifyCommand, ARunOfAnOlderVersionIsCheckedAsFarAsItGoes) {
  const fs::path run = copy_of_run();
  nlohmann::ordered_json json = manifest(run);
  for (const char* key : {"files", "working_directory"}) json.erase(key);
  for (const char* key : {"cpu", "matrix_products"}) json["toplens"].erase(key);
  write_manifest(run, json);
  const fs::path before = fs::current_path();
  fs::current_path(base_->path());
  const Verification found = verify(run);
  fs::current_path(before);
  EXPECT_EQ(found.exit_code, 0) << found.err;
  EXPECT_THAT(found.with("warn"), ElementsAre("environment", "files"));
  EXPECT_THAT(found.reason.at("files"), HasSubstr("older toplens"));
  EXPECT_THAT(found.with("skipped"), ElementsAre("other files"));
}

TEST_F(VerifyCommand, FilesOfOtherCommandsAreRecordedAndStrangersNamed) {
  const fs::path run = copy_of_run();
  ASSERT_EQ(run_command(testing::tool(), {"report", run}).exit_code, 0);
  ASSERT_EQ(
      run_command(testing::tool(), {"theory", "--from", run, "--out", run / "again.nc"}).exit_code,
      0);
  Verification found = verify(run, {"--documents", "0"});
  EXPECT_THAT(found.with("fail"), IsEmpty());
  EXPECT_THAT(found.with("warn"), IsEmpty());
  EXPECT_THAT(found.reason.at("files"), HasSubstr("10 files"));
  // Nor does analyze forget them where it makes its own results anew.
  std::vector<std::string> arguments = analyze(base("model"), run);
  arguments[3] = base("text.txt");
  arguments.insert(arguments.end(), {"--compare-with", base("scores.npy"), "--resume"});
  const CommandResult resumed = run_command(testing::tool(), arguments);
  ASSERT_EQ(resumed.exit_code, 0) << resumed.err;
  found = verify(run, {"--documents", "0"});
  EXPECT_THAT(found.with("fail"), IsEmpty());
  EXPECT_THAT(found.with("warn"), IsEmpty()) << found.reason.at("other files");
  EXPECT_THAT(found.reason.at("files"), HasSubstr("10 files"));
  std::ofstream(run / "notes.txt") << "mine";
  found = verify(run, {"--documents", "0"});
  EXPECT_EQ(found.exit_code, 0);
  EXPECT_THAT(found.with("warn"), ElementsAre("other files"));
  EXPECT_THAT(found.reason.at("other files"), HasSubstr("'notes.txt'"));
}

TEST_F(VerifyCommand, AnotherInstructionSetIsComparedWithinATolerance) {
  const std::string here = manifest(base("run"))["toplens"]["simd"];
  const std::string other = here == "avx2" ? "baseline" : "avx2";
  setenv("TOPLENS_SIMD", other.c_str(), 1);
  const CommandResult result =
      run_command(testing::tool(), {"verify", base("run"), "--documents", "10", "--json"});
  unsetenv("TOPLENS_SIMD");
  if (result.err.find("no SIMD level") != std::string::npos) GTEST_SKIP() << result.err;
  EXPECT_EQ(result.exit_code, 0) << result.out;
  const nlohmann::json checks = nlohmann::json::parse(result.out);
  EXPECT_EQ(checks[4]["status"], "warn");
  EXPECT_THAT(checks[4]["reason"].get<std::string>(), HasSubstr("simd"));
  EXPECT_EQ(checks[9]["status"], "pass");
  EXPECT_THAT(checks[9]["reason"].get<std::string>(), HasSubstr("root mean square"));
}

TEST_F(VerifyCommand, ADamagedManifestIsAFindingAndNeverACrash) {
  const fs::path run = copy_of_run();
  const nlohmann::ordered_json good = manifest(run);
  const auto reason = [&](const char* place, const nlohmann::ordered_json& value) {
    nlohmann::ordered_json bad = good;
    bad[nlohmann::ordered_json::json_pointer(place)] = value;
    write_manifest(run, bad);
    const Verification found = verify(run, {"--documents", "0"});
    EXPECT_EQ(found.exit_code, 1) << place;
    for (const auto& [name, text] : found.reason) {
      if (found.status.at(name) == "fail") return text;
    }
    return std::string();
  };
  EXPECT_THAT(reason("/command_line", "analyze"), HasSubstr("list of texts at command_line"));
  EXPECT_THAT(reason("/command_line/1", "capture"), HasSubstr("cannot be prepared again"));
  EXPECT_THAT(reason("/command_line/5", "--help"), HasSubstr("not understood"));
  EXPECT_THAT(reason("/documents_per_part", 0), HasSubstr("documents_per_part"));
  EXPECT_THAT(reason("/settings/documents", 1u << 31), HasSubstr("settings.documents"));
  EXPECT_THAT(reason("/settings/documents", 1000000000), HasSubstr("part"));
  EXPECT_THAT(reason("/settings/protocol/compute", 3), HasSubstr("protocol.compute"));
  EXPECT_THAT(reason("/settings/protocol/seed", 3), HasSubstr("is a part of another run"));
  EXPECT_THAT(reason("/model", nullptr), HasSubstr("model.path"));
  EXPECT_THAT(reason("/model/weights_sha256", 7), HasSubstr("model.weights_sha256"));
  EXPECT_THAT(reason("/files", 7), HasSubstr("'files' is no object"));
  EXPECT_THAT(reason("/files", nlohmann::ordered_json::object()),
              HasSubstr("lists the files without parts/part-0000.nc"));
  EXPECT_THAT(reason("/files/x", 7), HasSubstr("no size and SHA-256 of 'x'"));
  EXPECT_THAT(reason("/files/..~1secret", 7), HasSubstr("no file in the run directory"));
  EXPECT_THAT(reason("/files/~1etc~1passwd", 7), HasSubstr("no file in the run directory"));
  nlohmann::ordered_json unknown = good;
  unknown["toplens"] = 7;
  write_manifest(run, unknown);
  EXPECT_EQ(verify(run, {"--documents", "0"}).status.at("environment"), "warn");
}

TEST_F(VerifyCommand, RefusesWhatIsNoRun) {
  const Verification none = verify(scratch_ / "none");
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(none.with("fail"), ElementsAre("run"));
  EXPECT_EQ(run_command(testing::tool(), {"verify"}).exit_code, 2);
  EXPECT_EQ(run_command(testing::tool(), {"verify", base("run"), "--documents", "-1"}).exit_code,
            2);
  EXPECT_EQ(run_command(testing::tool(), {"verify", base("run"), "--memory", "x"}).exit_code, 2);
}

}  // namespace
}  // namespace toplens
