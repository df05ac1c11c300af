#include "tokenizer/bos_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/error_message.h"
#include "support/scratch_directory.h"
#include "tokenizer/fixtures.h"
#include "tokenizer/tokenizer.h"

namespace toplens {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using testing::byte_fallback_json;
using testing::error_message;
using ::testing::HasSubstr;
using testing::ScratchDirectory;

/// A checkpoint whose tokenizer.json has <s> = 1; `with_template` adds Llama-3's post-processor.
class BosPolicyTest : public ::testing::Test {
 protected:
  void write_tokenizer(bool with_template, int template_id = 1) {
    json root = json::parse(byte_fallback_json());
    if (with_template) {
      const json processor = {
          {"type", "TemplateProcessing"},
          {"single",
           {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}},
            {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
          {"pair", json::array()},
          {"special_tokens",
           {{"<s>", {{"id", "<s>"}, {"ids", {template_id}}, {"tokens", {"<s>"}}}}}}};
      root["post_processor"] = {{"type", "Sequence"},
                                {"processors", {{{"type", "ByteLevel"}}, processor}}};
    }
    write("tokenizer.json", root.dump());
  }
  void write(const std::string& name, std::string_view contents) const {
    testing::write_bytes(checkpoint_ / name, contents);
  }
  CheckpointTokenizer load() const { return load_tokenizer(checkpoint_.path()); }

  ScratchDirectory checkpoint_;
};

TEST_F(BosPolicyTest, NobodyAsks) {
  write_tokenizer(false);
  EXPECT_EQ(load().bos_id, std::nullopt);
  EXPECT_EQ(load().file, checkpoint_.path() / "tokenizer.json");
}

TEST_F(BosPolicyTest, AddBosTokenDecidesFirst) {
  write_tokenizer(true);
  write("tokenizer_config.json", R"({"add_bos_token": false, "bos_token": "<s>"})");
  EXPECT_EQ(load().bos_id, std::nullopt);
  EXPECT_EQ(load().bos_source, "tokenizer_config.json: add_bos_token is false");
  write("config.json", R"({"bos_token_id": null})");
  write("tokenizer_config.json",
        R"({"add_bos_token": true, "bos_token": {"content": "<s>", "lstrip": false}})");
  EXPECT_EQ(load().bos_id, 1);
}

TEST_F(BosPolicyTest, TemplateOfThePostProcessor) {
  write_tokenizer(true);
  write("tokenizer_config.json", R"({"tokenizer_class": "PreTrainedTokenizerFast"})");
  EXPECT_EQ(load().bos_id, 1);
  EXPECT_EQ(load().bos_source, "tokenizer.json: post_processor starts with '<s>'");
}

TEST_F(BosPolicyTest, TokenizerClass) {
  write_tokenizer(false);
  write("special_tokens_map.json", R"({"bos_token": "<s>"})");
  write("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizerFast"})");
  EXPECT_EQ(load().bos_id, 1);
  write("tokenizer_config.json", R"({"tokenizer_class": "Qwen2Tokenizer"})");
  EXPECT_EQ(load().bos_id, std::nullopt);
}

TEST_F(BosPolicyTest, ExplicitNullInConfig) {
  write_tokenizer(false);
  write("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>"})");
  write("config.json", R"({"bos_token_id": null})");
  EXPECT_EQ(load().bos_id, std::nullopt);
  EXPECT_EQ(load().bos_source, "config.json: bos_token_id is null");
}

TEST_F(BosPolicyTest, ContradictionsAreErrors) {
  write_tokenizer(false);
  write("tokenizer_config.json", R"({"add_bos_token": true, "bos_token": null})");
  EXPECT_THAT(error_message([&] { load(); }),
              AllOf(HasSubstr("tokenizer_config.json"), HasSubstr("special_tokens_map.json")));
  write("tokenizer_config.json", R"({"add_bos_token": true, "bos_token": "<begin>"})");
  EXPECT_THAT(error_message([&] { load(); }),
              AllOf(HasSubstr("<begin>"), HasSubstr("tokenizer.json")));
  write("tokenizer_config.json", "{}");
  write_tokenizer(true, 5);
  EXPECT_THAT(error_message([&] { load(); }), HasSubstr("id 5"));
}

TEST_F(BosPolicyTest, NeitherFile) {
  EXPECT_THAT(error_message([&] { load(); }),
              AllOf(HasSubstr("tokenizer.model"), HasSubstr("tokenizer.json")));
}

// Llama-3 repositories have a tokenizer.model of another format beside tokenizer.json.
TEST_F(BosPolicyTest, OtherFormatUnderTheNameTokenizerModel) {
  write("tokenizer.model", "IQ== 0\nIg== 1\n");
  EXPECT_THAT(error_message([&] { load(); }), HasSubstr("not a SentencePiece model"));
  write_tokenizer(true);
  EXPECT_EQ(load().file, checkpoint_.path() / "tokenizer.json");
}

}  // namespace
}  // namespace toplens
