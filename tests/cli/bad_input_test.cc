// Each bad input: one line that names the thing, the exit code of its kind, nothing left behind.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "io/atomic_file.h"
#include "support/command.h"
#include "support/safetensors_file.h"
#include "support/safetensors_writer.h"
#include "support/scratch_directory.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::CommandResult;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using testing::run_command;
using testing::ScratchDirectory;
using ::testing::StartsWith;

constexpr int kWorkFailed = 1;
constexpr int kBadUsage = 2;

class BadInput : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return scratch_ / name; }
  std::string golden(const std::string& name) const { return testing::golden_directory() / name; }
  std::string tokens(const std::string& model) const {
    return golden(model) + "/expected/token_ids.npy";
  }
  /// A copy that a test may damage.
  std::string copy(const std::string& model) const {
    testing::copy_checkpoint(golden(model), scratch_ / "model");
    return path("model");
  }

  /// Runs the tool and checks what every failure has in common; returns its one line.
  std::string failure(std::vector<std::string> arguments, int exit_code) const {
    const CommandResult result = run_command(testing::tool(), arguments);
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(testing::lines(result.err).size(), 1u) << result.err;
    EXPECT_THAT(result.err, StartsWith("toplens: "));
    EXPECT_THAT(result.err, EndsWith("\n"));
    if (!fs::exists(scratch_ / "out")) return result.err;
    EXPECT_TRUE(fs::is_empty(scratch_ / "out"));
    return result.err;
  }
  std::string perplexity_failure(const std::string& model, int exit_code = kWorkFailed) const {
    return failure({"perplexity", model, "--tokens", tokens("tiny-llama")}, exit_code);
  }
  /// capture and analyze must not leave anything either.
  std::string failure_of_all(const std::string& model) const {
    const std::string ids = tokens("tiny-llama");
    const std::string message = perplexity_failure(model);
    EXPECT_EQ(failure({"capture", model, "--tokens", ids, "--out", path("out")}, kWorkFailed),
              message);
    EXPECT_EQ(failure({"analyze", model, "--tokens", ids, "--out", path("out")}, kWorkFailed),
              message);
    EXPECT_FALSE(fs::exists(scratch_ / "out"));
    return message;
  }
  void edit_config(const std::string& model, const std::string& key, const nlohmann::json& value) {
    const fs::path file = fs::path(model) / "config.json";
    nlohmann::json config = nlohmann::json::parse(read_text_file(file));
    config[key] = value;
    testing::write_bytes(file, config.dump());
  }
  /// The header of model.safetensors as JSON, changed by `edit`.
  template <typename Edit>
  void edit_header(const std::string& model, const Edit& edit) {
    const fs::path file = fs::path(model) / "model.safetensors";
    const std::string bytes = read_text_file(file);
    std::uint64_t size = 0;
    for (int i = 7; i >= 0; --i) size = size << 8 | static_cast<unsigned char>(bytes[i]);
    nlohmann::json header = nlohmann::json::parse(bytes.substr(8, size));
    edit(header);
    testing::write_bytes(file, testing::safetensors_bytes(header.dump(), bytes.substr(8 + size)));
  }

  ScratchDirectory scratch_;
};

TEST_F(BadInput, MissingShard) {
  const std::string model = copy("tiny-mistral");
  fs::remove(model + "/model-00002-of-00002.safetensors");
  EXPECT_THAT(failure_of_all(model), HasSubstr("model-00002-of-00002.safetensors"));
}

TEST_F(BadInput, TruncatedShard) {
  const std::string model = copy("tiny-mistral");
  const std::string shard = model + "/model-00001-of-00002.safetensors";
  for (const std::uintmax_t size : {fs::file_size(shard) - 1, std::uintmax_t{100},
                                    std::uintmax_t{8}, std::uintmax_t{7}, std::uintmax_t{0}}) {
    fs::resize_file(shard, size);
    EXPECT_THAT(failure_of_all(model), HasSubstr("model-00001-of-00002.safetensors")) << size;
  }
}

TEST_F(BadInput, HeaderLengthBeyondTheFile) {
  const std::string model = copy("tiny-llama");
  for (const char high : {'\x00', '\x7f', '\xff'}) {
    std::fstream file(model + "/model.safetensors", std::ios::in | std::ios::out);
    file.write("\xff\xff\xff\x7f\x00\x00\x00", 7).put(high);
    file.close();
    EXPECT_THAT(failure_of_all(model), AllOf(HasSubstr("model.safetensors"), HasSubstr("header")));
  }
}

TEST_F(BadInput, OffsetsOutOfRangeOrOverlapping) {
  const std::string model = copy("tiny-llama");
  edit_header(model, [](nlohmann::json& header) {
    auto& offsets = header["model.norm.weight"]["data_offsets"];
    offsets[0] = offsets[0].get<std::uint64_t>() + 100000000;
    offsets[1] = offsets[1].get<std::uint64_t>() + 100000000;
  });
  EXPECT_THAT(failure_of_all(model), HasSubstr("model.norm.weight"));
  edit_header(model, [](nlohmann::json& header) {
    header["model.norm.weight"]["data_offsets"] =
        header["model.layers.0.input_layernorm.weight"]["data_offsets"];
  });
  EXPECT_THAT(failure_of_all(model), AllOf(HasSubstr("norm.weight"), HasSubstr("overlap")));
}

TEST_F(BadInput, WrongDtypeAndShape) {
  const std::string model = copy("tiny-llama");
  edit_header(model, [](nlohmann::json& header) { header["lm_head.weight"]["dtype"] = "I32"; });
  EXPECT_THAT(failure_of_all(model), AllOf(HasSubstr("lm_head.weight"), HasSubstr("I32")));
  edit_header(model, [](nlohmann::json& header) {
    header["lm_head.weight"]["dtype"] = "F32";
    header["lm_head.weight"]["shape"] = {48, 320};
  });
  EXPECT_THAT(failure_of_all(model),
              AllOf(HasSubstr("lm_head.weight"), HasSubstr("48, 320"), HasSubstr("320, 48")));
}

TEST_F(BadInput, TensorMissingOrLeftOver) {
  const std::string model = copy("tiny-llama");
  edit_header(model, [](nlohmann::json& header) {
    header["model.layers.2.mlp.up.weight"] = header["model.layers.2.mlp.up_proj.weight"];
    header.erase("model.layers.2.mlp.up_proj.weight");
  });
  EXPECT_THAT(failure_of_all(model), HasSubstr("model.layers.2.mlp.up_proj.weight"));
  edit_header(model, [](nlohmann::json& header) {
    header["model.layers.2.mlp.up_proj.weight"] = header["model.layers.2.mlp.up.weight"];
    header.erase("model.layers.2.mlp.up.weight");
  });
  edit_config(model, "num_hidden_layers", 2);
  EXPECT_THAT(failure_of_all(model), AllOf(HasSubstr("model.layers.2."), HasSubstr("left over")));
}

TEST_F(BadInput, ConfigurationThatIsNotUnderstood) {
  const std::string model = copy("tiny-llama");
  edit_config(model, "residual_scale", 0.5);
  EXPECT_THAT(failure_of_all(model), AllOf(HasSubstr("config.json"), HasSubstr("residual_scale")));
  testing::write_bytes(model + "/config.json", "{");
  EXPECT_THAT(failure_of_all(model), HasSubstr("config.json"));
  fs::remove(model + "/config.json");
  EXPECT_THAT(failure_of_all(model), HasSubstr("config.json"));
  EXPECT_THAT(failure_of_all(path("nowhere")), HasSubstr("nowhere"));
  fs::remove_all(model);
  edit_config(copy("tiny-llama"), "architectures", {"GPT2LMHeadModel"});
  EXPECT_THAT(failure_of_all(model), AllOf(HasSubstr("GPT2LMHeadModel"),
                                           HasSubstr("LlamaForCausalLM, MistralForCausalLM")));
}

TEST_F(BadInput, NanInWeightsNamesTheLayer) {
  const std::string model = copy("tiny-llama");
  testing::set_element(model, "model.layers.1.mlp.down_proj.weight", 17, std::nanf(""));
  const auto expected = AllOf(HasSubstr("layer 1"), HasSubstr("mlp.down_proj.weight"));
  EXPECT_THAT(perplexity_failure(model), expected);
  EXPECT_THAT(failure({"capture", model, "--tokens", tokens("tiny-llama"), "--out", path("out")},
                      kWorkFailed),
              expected);
  const CommandResult result =
      run_command(testing::tool(), {"analyze", model, "--tokens", tokens("tiny-llama"),
                                    "--set-sizes", "2", "--documents", "1", "--out", path("run")});
  EXPECT_EQ(result.exit_code, kWorkFailed);
  EXPECT_EQ(result.out, "");
  // Before it stands the line with the estimate.
  ASSERT_EQ(testing::lines(result.err).size(), 2u) << result.err;
  EXPECT_THAT(testing::lines(result.err)[1], AllOf(StartsWith("toplens: "), expected));
  // The run is recorded as unfinished; no result exists.
  const nlohmann::json run = nlohmann::json::parse(read_text_file(path("run") + "/run.json"));
  EXPECT_NE(run.at("status"), "complete");
  EXPECT_TRUE(fs::is_empty(path("run") + "/parts"));
  for (const auto& entry : fs::directory_iterator(path("run"))) {
    EXPECT_TRUE(entry.path().filename() == "run.json" || entry.path().filename() == "parts")
        << entry.path();
  }
}

TEST_F(BadInput, NanInTheOutputHeadLeavesNoLogits) {
  const std::string model = copy("tiny-gemma2");
  testing::set_element(model, "model.embed_tokens.weight", 319 * 48 + 1, std::nanf(""));
  testing::write_npy(path("ids.npy"), {3}, std::vector<std::int64_t>{1, 2, 3});
  for (const std::string what : {"logits", "logits,attention"}) {
    EXPECT_THAT(failure({"capture", model, "--tokens", path("ids.npy"), "--what", what, "--out",
                         path("out")},
                        kWorkFailed),
                AllOf(HasSubstr("output head"), HasSubstr("model.embed_tokens.weight")));
    fs::remove_all(path("out"));
  }
}

TEST_F(BadInput, TokenIds) {
  const std::string model = golden("tiny-llama");
  const auto fails = [&](const std::string& file) {
    std::string message;
    for (const char* command : {"perplexity", "capture", "analyze"}) {
      std::vector<std::string> arguments = {command, model, "--tokens", path(file)};
      if (command != std::string("perplexity")) {
        arguments.insert(arguments.end(), {"--out", path("out")});
      }
      message = failure(arguments, kWorkFailed);
      EXPECT_THAT(message, HasSubstr(file));
      EXPECT_FALSE(fs::exists(path("out")));
    }
    return message;
  };
  testing::write_npy(path("ids.npy"), {3}, std::vector<std::int64_t>{1, 320, 2});
  EXPECT_THAT(fails("ids.npy"), AllOf(HasSubstr("320")));
  testing::write_npy(path("ids.npy"), {3}, std::vector<std::int64_t>{1, -1, 2});
  EXPECT_THAT(fails("ids.npy"), HasSubstr("-1"));
  testing::write_npy(path("ids.npy"), {2}, std::vector<std::int64_t>{1, std::int64_t{1} << 32});
  EXPECT_THAT(fails("ids.npy"), HasSubstr("4294967296"));
  testing::write_npy(path("float.npy"), {2}, std::vector<float>{1, 2});
  EXPECT_THAT(fails("float.npy"), HasSubstr("f4"));
  testing::write_npy(path("cube.npy"), {1, 1, 2}, std::vector<std::int64_t>{1, 2});
  fails("cube.npy");
  testing::write_npy(path("empty.npy"), {0}, std::vector<std::int64_t>{});
  fails("empty.npy");
  testing::write_npy(path("short.npy"), {9}, std::vector<std::int64_t>{1, 2});
  fails("short.npy");
  testing::write_npy(path("long.npy"), {600}, std::vector<std::int64_t>(600, 1));
  EXPECT_THAT(fails("long.npy"), AllOf(HasSubstr("600"), HasSubstr("512")));
  testing::write_bytes(path("text.npy"), "not an array");
  fails("text.npy");
  fails("absent.npy");
  // One token has nothing to be predicted from.
  testing::write_npy(path("one.npy"), {1}, std::vector<std::int64_t>{1});
  EXPECT_THAT(failure({"perplexity", model, "--tokens", path("one.npy")}, kWorkFailed),
              HasSubstr("context length is 1"));
}

TEST_F(BadInput, TextShorterThanTheContext) {
  const auto model = testing::shared_directory() / "data" / "models" / "stories260K";
  TOPLENS_NEED_SHARED(model);
  testing::write_bytes(path("short.txt"), "Once upon a time");
  EXPECT_THAT(failure({"analyze", model, "--text", path("short.txt"), "--context-length", "64",
                       "--out", path("out")},
                      kWorkFailed),
              AllOf(HasSubstr("short.txt"), HasSubstr("64 tokens"), HasSubstr("too short")));
  EXPECT_FALSE(fs::exists(path("out")));
  testing::write_bytes(path("bad.txt"), "Once \xff upon a time");
  EXPECT_THAT(failure({"perplexity", model, "--text", path("bad.txt")}, kWorkFailed),
              AllOf(HasSubstr("bad.txt"), HasSubstr("5")));
  EXPECT_THAT(failure({"perplexity", model, "--text", path("none.txt")}, kWorkFailed),
              HasSubstr("none.txt"));
  EXPECT_THAT(failure({"perplexity", model, "--text", path("short.txt"), "--context-length", "513"},
                      kBadUsage),
              AllOf(HasSubstr("513"), HasSubstr("512")));
}

TEST_F(BadInput, MemoryBudgetThatHoldsNoDocument) {
  EXPECT_THAT(
      failure({"analyze", golden("tiny-llama"), "--tokens", tokens("tiny-llama"), "--set-sizes",
               "2", "--documents", "1", "--memory", "1KiB", "--out", path("out")},
              kWorkFailed),
      AllOf(HasSubstr("1.0 KiB"), HasSubstr("--memory"), HasSubstr("needs")));
  EXPECT_FALSE(fs::exists(path("out")));
}

TEST_F(BadInput, OutputDirectoryUnderAFile) {
  testing::write_bytes(path("file"), "x");
  const std::string out = path("file") + "/out";
  for (const char* command : {"capture", "analyze"}) {
    std::vector<std::string> arguments = {
        command, golden("tiny-llama"), "--tokens", tokens("tiny-llama"), "--out", out};
    if (command == std::string("analyze")) {
      arguments.insert(arguments.end(), {"--set-sizes", "2", "--documents", "1"});
    }
    EXPECT_THAT(failure(arguments, kWorkFailed), HasSubstr(out));
    EXPECT_EQ(read_text_file(path("file")), "x");
  }
}

TEST_F(BadInput, OutputDirectoryOfAnotherRunOrOfSomeoneElse) {
  const auto analyze = [&](const std::string& sizes, bool resume) {
    std::vector<std::string> arguments = {"analyze",     golden("tiny-llama"),
                                          "--tokens",    tokens("tiny-llama"),
                                          "--set-sizes", sizes,
                                          "--documents", "1",
                                          "--out",       path("run")};
    if (resume) arguments.emplace_back("--resume");
    return arguments;
  };
  ASSERT_EQ(run_command(testing::tool(), analyze("2", false)).exit_code, 0);
  const std::string csv = read_text_file(path("run") + "/heads.csv");
  for (const bool resume : {false, true}) {
    EXPECT_THAT(failure(analyze("2,3", resume), kWorkFailed),
                AllOf(HasSubstr(path("run")), HasSubstr("another run"), HasSubstr("set_sizes")));
  }
  EXPECT_THAT(failure(analyze("2", false), kWorkFailed), HasSubstr("complete"));
  EXPECT_EQ(read_text_file(path("run") + "/heads.csv"), csv);
  // A complete run resumed is a run with nothing left to do.
  EXPECT_EQ(run_command(testing::tool(), analyze("2", true)).exit_code, 0);
  EXPECT_EQ(read_text_file(path("run") + "/heads.csv"), csv);

  fs::remove_all(path("run"));
  fs::create_directory(path("run"));
  testing::write_bytes(path("run") + "/thesis.tex", "mine");
  EXPECT_THAT(failure(analyze("2", false), kWorkFailed), HasSubstr("thesis.tex"));
  EXPECT_THAT(failure(analyze("2", true), kWorkFailed), HasSubstr("thesis.tex"));
  EXPECT_EQ(read_text_file(path("run") + "/thesis.tex"), "mine");
  fs::remove_all(path("run"));
  EXPECT_THAT(failure(analyze("2", true), kWorkFailed), HasSubstr("nothing to resume"));
  EXPECT_FALSE(fs::exists(path("run")));
}

/// A file system of 64 kB for as long as the object lives.
class SmallDisk {
 public:
  explicit SmallDisk(const fs::path& path) : path_(path) {
    fs::create_directories(path);
    mounted_ = ::mount("tmpfs", path.c_str(), "tmpfs", 0, "size=64k") == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  bool mounted() const { return mounted_; }

 private:
  fs::path path_;
  bool mounted_ = false;
};

TEST_F(BadInput, FullDisk) {
  const SmallDisk disk(scratch_ / "disk");
  if (!disk.mounted()) GTEST_SKIP() << "SKIPPED, a small file system cannot be mounted here";
  const std::string out = path("disk") + "/out";
  EXPECT_THAT(
      failure({"capture", golden("tiny-llama"), "--tokens", tokens("tiny-llama"), "--out", out},
              kWorkFailed),
      AllOf(HasSubstr(".npy"), HasSubstr("No space left")));
  EXPECT_TRUE(!fs::exists(out) || fs::is_empty(out));
  testing::write_bytes(path("disk") + "/ballast", std::string(60000, 'x'));
  const CommandResult result = run_command(
      testing::tool(), {"analyze", golden("tiny-llama"), "--tokens", tokens("tiny-llama"),
                        "--documents", "1", "--set-sizes", "1,2,4,8,16", "--out", out});
  EXPECT_EQ(result.exit_code, kWorkFailed);
  const std::vector<std::string> lines = testing::lines(result.err);
  ASSERT_FALSE(lines.empty());
  EXPECT_THAT(lines.back(), AllOf(StartsWith("toplens: "), HasSubstr(out)));
  EXPECT_FALSE(fs::exists(out + "/geometry.nc"));
  EXPECT_FALSE(fs::exists(out + "/heads.csv"));
}

TEST_F(BadInput, StandardOutputThatIsFull) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "SKIPPED, no /dev/full here";
  const CommandResult result =
      run_command("/bin/sh", {"-c", "exec \"$0\" \"$@\" > /dev/full", testing::tool(), "inspect",
                              golden("tiny-llama"), "--json"});
  EXPECT_EQ(result.exit_code, kWorkFailed);
  EXPECT_THAT(result.err, AllOf(StartsWith("toplens: "), HasSubstr("standard output")));
  EXPECT_EQ(testing::lines(result.err).size(), 1u);
}

struct Usage {
  std::vector<std::string> arguments;
  std::string named;
};

TEST_F(BadInput, CommandLinesThatAreWrong) {
  const std::string model = golden("tiny-llama"), ids = tokens("tiny-llama");
  const std::string attention = golden("tiny-llama") + "/expected/attention.npy";
  const std::string values = golden("tiny-llama") + "/expected/values.npy";
  const auto analyze = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"analyze", model,       "--tokens",    ids,
                                          "--out",   path("out"), "--documents", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  const auto geometry = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"geometry", "--attention", attention, "--values", values};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  const std::vector<Usage> wrong = {
      {{}, "subcommand"},
      {{"analyse"}, "analyse"},
      {{"perplexity"}, "MODEL"},
      {{"perplexity", model}, "--tokens"},
      {{"perplexity", model, "--tokens", ids, "--text", ids}, "exactly one"},
      {{"perplexity", model, "--tokens", ids, "--lenght", "3"}, "--lenght"},
      {{"perplexity", model, "--tokens", ids, "--bos", "maybe"}, "maybe"},
      {{"perplexity", model, "--tokens", ids, "--compute", "f64"}, "f64"},
      {{"perplexity", model, "--tokens", ids, "--memory", "8 gigabytes"}, "8 gigabytes"},
      {{"perplexity", model, "--tokens", ids, "--threads", "-1"}, "--threads"},
      {{"perplexity", model, "--tokens", ids, "--threads", "two"}, "--threads"},
      {{"perplexity", model, "--tokens", ids, "--context-length", "50"}, "50"},
      {{"analyze", model, "--tokens", ids}, "--out"},
      {analyze({"--set-sizes", "0"}), "0"},
      {analyze({"--set-sizes", "2,2"}), "twice"},
      {analyze({"--set-sizes", "two"}), "--set-sizes"},
      {analyze({"--rankings", "magnitude"}), "magnitude"},
      {analyze({"--distances", "manhattan"}), "manhattan"},
      {analyze({"--queries", "first"}), "first"},
      {analyze({"--queries", "tail:0"}), "tail:0"},
      {analyze({"--queries", "tail:x"}), "tail:x"},
      {analyze({"--random-repeats", "0"}), "--random-repeats"},
      {analyze({"--documents", "0"}), "--documents"},
      {analyze({"--sede", "1"}), "--sede"},
      {{"capture", model, "--tokens", ids}, "--out"},
      {{"capture", model, "--tokens", ids, "--out", path("out"), "--what", "keys"}, "keys"},
      {{"capture", model, "--tokens", ids, "--out", path("out"), "--layers", "3"}, "3"},
      {{"capture", model, "--tokens", ids, "--out", path("out"), "--layers", "1,,2"}, "1,,2"},
      {{"geometry", "--attention", attention}, "--values"},
      {geometry({"--layers", "7"}), "7"},
      {geometry({"--window", "-3"}), "--window"},
      {geometry({"--distances", "euclidean,l1"}), "l1"},
  };
  for (const Usage& usage : wrong) {
    SCOPED_TRACE(::testing::PrintToString(usage.arguments));
    EXPECT_THAT(failure(usage.arguments, kBadUsage), HasSubstr(usage.named));
    EXPECT_FALSE(fs::exists(path("out")));
  }
}

TEST_F(BadInput, GeometryOfArraysThatDoNotFit) {
  testing::write_npy(path("a.npy"), {3}, std::vector<float>{0.5f, 0.25f, 0.25f});
  testing::write_npy(path("v.npy"), {3, 2}, std::vector<float>(6, 1.0f));
  testing::write_npy(path("v2.npy"), {2, 2}, std::vector<float>(4, 1.0f));
  testing::write_npy(path("nan.npy"), {3}, std::vector<float>{0.5f, std::nanf(""), 0.25f});
  const auto fails = [&](const std::string& attention, const std::string& values) {
    return failure(
        {"geometry", "--attention", path(attention), "--values", path(values), "--set-sizes", "1"},
        kWorkFailed);
  };
  EXPECT_THAT(fails("a.npy", "v2.npy"), AllOf(HasSubstr("v2.npy"), HasSubstr("[2, 2]")));
  EXPECT_THAT(fails("nan.npy", "v.npy"), HasSubstr("nan.npy[1]"));
  EXPECT_THAT(fails("absent.npy", "v.npy"), HasSubstr("absent.npy"));
  EXPECT_THAT(failure({"geometry", "--attention", path("a.npy"), "--values", path("v.npy"),
                       "--layers", "0"},
                      kBadUsage),
              HasSubstr("--layers"));
  EXPECT_EQ(run_command(testing::tool(), {"geometry", "--attention", path("a.npy"), "--values",
                                          path("v.npy"), "--set-sizes", "1"})
                .exit_code,
            0);
}

}  // namespace
}  // namespace toplens
