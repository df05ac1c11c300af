// A GGUF file wherever a command takes MODEL.

#include <nlohmann/json.hpp>

#include "checkpoint/gguf_header.h"
#include "cli/bad_input.h"
#include "io/atomic_file.h"
#include "results/digest.h"
#include "support/gguf_writer.h"
#include "support/safetensors_file.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::CommandResult;
using ::testing::HasSubstr;
using testing::run_command;

class GgufCommands : public testing::BadInput {
 protected:
  /// The demo model, its tokenizer inside, in a mixture of types.
  std::string demo() const {
    const fs::path model = testing::source_directory() / "demo/model";
    testing::write_gguf(model, path("m.gguf"),
                        {"--type", "Q4_K_M", "--tokenizer", model / "tokenizer.model"});
    return path("m.gguf");
  }
  std::string tiny(const std::string& type) const {
    testing::write_gguf(golden("tiny-llama3-gqa"), path("m.gguf"), {"--type", type});
    return path("m.gguf");
  }
  std::string text() const { return testing::source_directory() / "demo/text/held_out.txt"; }
  static nlohmann::json json_of(const std::vector<std::string>& arguments) {
    const CommandResult result = run_command(testing::tool(), arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return nlohmann::json::parse(result.out);
  }
};

TEST_F(GgufCommands, InspectSaysWhatIsInTheFile) {
  const std::string file = demo();
  const nlohmann::json json = json_of({"inspect", file, "--json"});
  const nlohmann::json& model = json.at("model");
  EXPECT_EQ(model.at("weight_format"), "GGUF");
  EXPECT_EQ(model.at("weight_dtype"), "Q4_K");
  EXPECT_EQ(model.at("weight_tensors_by_dtype"),
            (nlohmann::json{{"F32", 13}, {"Q4_K", 31}, {"Q6_K", 6}, {"Q8_0", 6}}));
  EXPECT_EQ(model.at("weight_files"), (std::vector<std::string>{"m.gguf"}));
  EXPECT_EQ(json.at("tokenizer").at("description"), "SentencePiece model in GGUF");
  const CommandResult shown = run_command(testing::tool(), {"inspect", file});
  EXPECT_THAT(shown.out, AllOf(HasSubstr("GGUF"), HasSubstr("Q4_K")));
}

TEST_F(GgufCommands, EveryCommandTakesTheFile) {
  const std::string file = demo();
  const auto perplexity =
      json_of({"perplexity", file, "--text", text(), "--context-length", "128", "--json"});
  EXPECT_NEAR(perplexity.at("nll_nats_per_token"), 3.7, 0.5);
  const std::vector<std::string> some = {"--text", text(),        "--context-length",
                                         "64",     "--documents", "2"};
  const auto run = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), some.begin(), some.end());
    const CommandResult result = run_command(testing::tool(), arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
  };
  run({"analyze", file, "--digest-weights", "--out", path("run")});
  const auto verified = json_of({"verify", path("run"), "--documents", "1", "--json"});
  for (const auto& check : verified) EXPECT_EQ(check.at("status"), "pass") << check;
  run({"intervene", file, "--set-sizes", "4", "--ranking", "attention", "--rule", "delete",
       "--json"});
  EXPECT_EQ(run_command(testing::tool(), {"capture", file, "--tokens", tokens("tiny-llama"),
                                          "--what", "logits", "--out", path("capture")})
                .exit_code,
            0);

  // One digest for all that the header holds.
  const std::string bytes = read_text_file(file);
  const GgufHeader header =
      parse_gguf_header(std::as_bytes(std::span(bytes.data(), bytes.size())), file);
  const std::string digest = sha256(std::string_view(bytes).substr(0, header.data_offset));
  const auto manifest = nlohmann::json::parse(read_text_file(path("run") + "/run.json"));
  const std::string all = manifest.dump();
  for (const char* key : {"config_sha256", "index_sha256", "tokenizer_sha256"}) {
    EXPECT_THAT(all, HasSubstr('"' + std::string(key) + "\":\"" + digest + '"'));
  }
}

TEST_F(GgufCommands, UnknownQuantizationNamesTensorAndType) {
  const std::string file = tiny("Q4_0");
  std::string bytes = read_text_file(file);
  const std::string name = "blk.1.ffn_up.weight";
  // Behind the name: the number of dimensions, two of them, the type.
  const std::size_t type_at = bytes.find(name) + name.size() + 4 + 16;
  ASSERT_EQ(bytes[type_at], 2);
  for (const auto& [type, expected] : {std::pair<char, const char*>{11, "Q3_K"}, {77, "type 77"}}) {
    bytes[type_at] = type;
    testing::write_bytes(file, bytes);
    EXPECT_THAT(failure_of_all(file),
                AllOf(HasSubstr("m.gguf"), HasSubstr("'" + name + "'"), HasSubstr(expected),
                      HasSubstr("Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K")));
  }
}

TEST_F(GgufCommands, DamagedFiles) {
  const std::string file = tiny("Q8_0");
  const std::string bytes = read_text_file(file);
  testing::write_bytes(file, bytes.substr(0, bytes.size() - 100));
  EXPECT_THAT(failure_of_all(file), AllOf(HasSubstr("m.gguf"), HasSubstr("truncated")));
  testing::write_bytes(file, bytes.substr(0, 200));
  EXPECT_THAT(failure_of_all(file), HasSubstr("truncated"));
  testing::write_bytes(file, "not a model");
  EXPECT_THAT(failure_of_all(file), HasSubstr("expected a checkpoint directory or a .gguf file"));
  std::string renamed = bytes;
  renamed.replace(renamed.find("blk.1.attn_k"), 12, "blk.1.attn_x");
  testing::write_bytes(file, renamed);
  EXPECT_THAT(failure_of_all(file),
              AllOf(HasSubstr("'blk.1.attn_k.weight' is missing"), HasSubstr("[32, 64]")));
}

TEST_F(GgufCommands, NonFiniteWeightsAreFound) {
  const std::string file = tiny("Q8_0");
  std::string bytes = read_text_file(file);
  const GgufHeader header =
      parse_gguf_header(std::as_bytes(std::span(bytes.data(), bytes.size())), file);
  const std::size_t at = header.data_offset + header.find("blk.1.ffn_up.weight")->begin + 34;
  bytes[at] = 0;
  bytes[at + 1] = 0x7e;  // NaN, the scale of the second block
  testing::write_bytes(file, bytes);
  EXPECT_THAT(perplexity_failure(file),
              AllOf(HasSubstr("tensor blk.1.ffn_up.weight holds NaN at element 32")));
}

TEST_F(GgufCommands, WithoutATokenizerThereAreTokenIds) {
  const std::string file = tiny("F16");
  EXPECT_THAT(failure({"perplexity", file, "--text", text()}, testing::kWorkFailed),
              HasSubstr("the file has no tokenizer"));
  EXPECT_EQ(json_of({"perplexity", file, "--tokens", tokens("tiny-llama3-gqa"), "--json"})
                .at("num_targets"),
            95);
}

}  // namespace
}  // namespace toplens
