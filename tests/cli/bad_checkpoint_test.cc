// Damaged and misunderstood checkpoints.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/bad_input.h"
#include "io/atomic_file.h"
#include "support/safetensors_file.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::CommandResult;
using ::testing::HasSubstr;
using testing::kWorkFailed;
using testing::run_command;
using ::testing::StartsWith;

class BadCheckpoint : public testing::BadInput {
 protected:
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
};

TEST_F(BadCheckpoint, MissingShard) {
  const std::string model = copy("tiny-mistral");
  fs::remove(model + "/model-00002-of-00002.safetensors");
  EXPECT_THAT(failure_of_all(model), HasSubstr("model-00002-of-00002.safetensors"));
}

TEST_F(BadCheckpoint, TruncatedShard) {
  const std::string model = copy("tiny-mistral");
  const std::string shard = model + "/model-00001-of-00002.safetensors";
  for (const std::uintmax_t size : {fs::file_size(shard) - 1, std::uintmax_t{100},
                                    std::uintmax_t{8}, std::uintmax_t{7}, std::uintmax_t{0}}) {
    fs::resize_file(shard, size);
    EXPECT_THAT(failure_of_all(model), HasSubstr("model-00001-of-00002.safetensors")) << size;
  }
}

TEST_F(BadCheckpoint, HeaderLengthBeyondTheFile) {
  const std::string model = copy("tiny-llama");
  for (const char high : {'\x00', '\x7f', '\xff'}) {
    std::fstream file(model + "/model.safetensors", std::ios::in | std::ios::out);
    file.write("\xff\xff\xff\x7f\x00\x00\x00", 7).put(high);
    file.close();
    EXPECT_THAT(failure_of_all(model), AllOf(HasSubstr("model.safetensors"), HasSubstr("header")));
  }
}

TEST_F(BadCheckpoint, OffsetsOutOfRangeOrOverlapping) {
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

TEST_F(BadCheckpoint, WrongDtypeAndShape) {
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

TEST_F(BadCheckpoint, TensorMissingOrLeftOver) {
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

TEST_F(BadCheckpoint, ConfigurationThatIsNotUnderstood) {
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

TEST_F(BadCheckpoint, NanInWeightsNamesTheLayer) {
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
  EXPECT_FALSE(fs::exists(path("run")));
}

TEST_F(BadCheckpoint, NanInTheOutputHeadLeavesNoLogits) {
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

}  // namespace
}  // namespace toplens
