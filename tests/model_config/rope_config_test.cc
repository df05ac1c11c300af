#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "model/model_config.h"
#include "model_config/published_configs.h"
#include "support/error_message.h"

namespace toplens {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using testing::error_message;
using ::testing::HasSubstr;

/// The tiny LLaMA with these rotary keys and no others.
json config_of(const json& rope) {
  json config = testing::published_config("tiny");
  config.erase("rope_theta");
  config.update(rope);
  return config;
}

RopeConfig parse(const json& rope) {
  return parse_model_config(config_of(rope).dump(), "config.json").rope;
}

std::string message_of(const json& rope) {
  return error_message([&] { parse(rope); });
}

const json kLlama3 = {{"rope_type", "llama3"},
                      {"factor", 8.0},
                      {"low_freq_factor", 1.0},
                      {"high_freq_factor", 4.0},
                      {"original_max_position_embeddings", 8192}};

TEST(RopeConfig, OlderAndNewerFormsSayTheSame) {
  json newer = kLlama3;
  newer["rope_theta"] = 5e5;
  for (const json& rope :
       {json{{"rope_theta", 5e5}, {"rope_scaling", kLlama3}}, json{{"rope_parameters", newer}},
        json{{"rope_theta", 5e5}, {"rope_parameters", kLlama3}},
        json{{"rope_parameters", newer}, {"rope_scaling", nullptr}},
        json{{"rope_theta", 5e5}, {"rope_parameters", newer}, {"rope_scaling", kLlama3}},
        json{{"rope_parameters", {{"full_attention", newer}, {"sliding_attention", newer}}}}}) {
    const RopeConfig config = parse(rope);
    EXPECT_EQ(config.type, "llama3") << rope;
    EXPECT_EQ(config.theta, 5e5);
    EXPECT_EQ(config.factor, 8.0);
    EXPECT_EQ(config.original_max_position_embeddings, 8192.0);
  }
  EXPECT_EQ(parse(json::object()).theta, 10000.0);
  const RopeConfig plain =
      parse({{"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 20000}}}});
  EXPECT_EQ(plain.type, "default");
  EXPECT_EQ(plain.theta, 20000.0);
}

TEST(RopeConfig, LinearWithTheOlderKey) {
  const RopeConfig config = parse({{"rope_scaling", {{"type", "linear"}, {"factor", 2}}}});
  EXPECT_EQ(config.type, "linear");
  EXPECT_EQ(config.factor, 2.0);
  json both = kLlama3;
  both["type"] = "llama3";
  EXPECT_EQ(parse({{"rope_scaling", both}}).type, "llama3");
}

TEST(RopeConfig, OtherTypesAreNamedWithTheSupportedOnes) {
  for (const char* type : {"yarn", "dynamic", "longrope", "su", "mrope"}) {
    EXPECT_THAT(message_of({{"rope_scaling", {{"type", type}, {"factor", 4.0}}}}),
                AllOf(HasSubstr("config.json"), HasSubstr("'rope_scaling.type'"), HasSubstr(type),
                      HasSubstr("default, linear or llama3")));
  }
}

TEST(RopeConfig, MalformedDictionariesAreErrors) {
  EXPECT_THAT(message_of({{"rope_scaling", 2.0}}), HasSubstr("'rope_scaling' is 2.0"));
  EXPECT_THAT(message_of({{"rope_scaling", {{"factor", 2.0}}}}),
              HasSubstr("'rope_scaling.rope_type' is missing"));
  EXPECT_THAT(message_of({{"rope_scaling", {{"type", "linear"}}}}),
              HasSubstr("'rope_scaling.factor' is missing"));
  EXPECT_THAT(message_of({{"rope_scaling", {{"type", "linear"}, {"factor", -1}}}}),
              HasSubstr("'rope_scaling.factor' is -1"));
  json llama3 = kLlama3;
  llama3.erase("original_max_position_embeddings");
  EXPECT_THAT(message_of({{"rope_scaling", llama3}}),
              HasSubstr("'rope_scaling.original_max_position_embeddings' is missing"));
  llama3 = kLlama3;
  llama3["high_freq_factor"] = 1.0;
  EXPECT_THAT(message_of({{"rope_scaling", llama3}}), HasSubstr("more than low_freq_factor"));
  llama3 = kLlama3;
  llama3["attention_factor"] = 1.2;
  EXPECT_THAT(message_of({{"rope_parameters", llama3}}),
              AllOf(HasSubstr("'rope_parameters.attention_factor'"), HasSubstr("no such key")));
  llama3 = kLlama3;
  llama3["type"] = "linear";
  EXPECT_THAT(message_of({{"rope_scaling", llama3}}), HasSubstr("the same as rope_type"));
  EXPECT_THAT(
      message_of({{"rope_parameters", {{"rope_type", "default"}, {"partial_rotary_factor", 0.5}}}}),
      HasSubstr("partial_rotary_factor"));
}

TEST(RopeConfig, DisagreementIsAnError) {
  EXPECT_THAT(message_of({{"rope_theta", 1e4},
                          {"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 1e6}}}}),
              HasSubstr("'rope_parameters.rope_theta'"));
  EXPECT_THAT(message_of({{"rope_scaling", {{"type", "linear"}, {"factor", 2.0}}},
                          {"rope_parameters", {{"rope_type", "linear"}, {"factor", 4.0}}}}),
              HasSubstr("disagree"));
  EXPECT_THAT(message_of({{"rope_parameters",
                           {{"full_attention", {{"rope_type", "default"}, {"rope_theta", 1e6}}},
                            {"sliding_attention", {{"rope_type", "default"}}}}}}),
              HasSubstr("differs between layer types"));
  EXPECT_THAT(message_of({{"rope_parameters",
                           {{"full_attention", {{"rope_type", "default"}}}, {"rope_theta", 1e6}}}}),
              HasSubstr("'rope_theta'"));
}

}  // namespace
}  // namespace toplens
