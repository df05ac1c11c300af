#include "interchange/head_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <toplens/error.h>

#include <cstring>

#include "interchange/duo_attention.h"
#include "interchange/minference.h"
#include "interchange/retrieval_scores.h"
#include "interchange/score_comparison.h"
#include "io/atomic_file.h"
#include "io/npy.h"
#include "support/command.h"
#include "support/error_message.h"
#include "support/scratch_directory.h"

namespace toplens {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::error_message;
using ::testing::HasSubstr;
using testing::ScratchDirectory;

constexpr HeadLayout kModel = {2, 4, 2};

double any_finite() {
  // Any bits but those of infinities and NaN.
  const auto bits = *rc::gen::suchThat(rc::gen::arbitrary<std::uint64_t>(), [](std::uint64_t b) {
    return ((b >> 52) & 0x7ff) != 0x7ff;
  });
  double value = 0.0;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

HeadScores any_scores(HeadKind kind) {
  HeadScores scores;
  scores.kind = kind;
  scores.layers = *rc::gen::inRange(1, 5);
  scores.heads = *rc::gen::inRange(1, 6);
  for (int i = 0; i < scores.layers * scores.heads; ++i) scores.values.push_back(any_finite());
  return scores;
}

void expect_equal(const HeadScores& found, const HeadScores& expected) {
  RC_ASSERT(found.kind == expected.kind);
  RC_ASSERT(found.layers == expected.layers);
  RC_ASSERT(found.heads == expected.heads);
  RC_ASSERT(found.values == expected.values);
}

RC_GTEST_PROP(HeadFilesProperty, DuoAttentionRoundTripsToTheBit, ()) {
  const HeadScores scores = any_scores(HeadKind::kv);
  expect_equal(parse_duo_attention_tsv(duo_attention_tsv(scores), "x.tsv"), scores);
}

RC_GTEST_PROP(HeadFilesProperty, RetrievalScoresRoundTripToTheBit, ()) {
  const HeadScores scores = any_scores(HeadKind::query);
  const std::string text = retrieval_scores_json(scores);
  RC_ASSERT(text.find('\n') == text.size() - 1);  // engines read the first line alone
  expect_equal(parse_retrieval_scores(text, "x.json"), scores);
}

RC_GTEST_PROP(HeadFilesProperty, MInferenceRoundTrips, ()) {
  MInferencePatterns patterns;
  patterns.layers = *rc::gen::inRange(1, 4);
  patterns.heads = *rc::gen::inRange(1, 13);  // "10" comes before "2" in the order of keys
  for (int i = 0; i < patterns.layers * patterns.heads; ++i) {
    patterns.table.push_back({kMInferenceKindNames[*rc::gen::inRange<std::size_t>(0, 3)].kind,
                              *rc::gen::inRange(0, 10000), *rc::gen::inRange(0, 10000),
                              any_finite()});
  }
  const MInferencePatterns found = parse_minference(minference_json(patterns), "x.json");
  RC_ASSERT(found.layers == patterns.layers);
  RC_ASSERT(found.heads == patterns.heads);
  for (std::size_t i = 0; i < patterns.table.size(); ++i) {
    RC_ASSERT(found.table[i].kind == patterns.table[i].kind);
    RC_ASSERT(found.table[i].vertical_size == patterns.table[i].vertical_size);
    RC_ASSERT(found.table[i].slash_size == patterns.table[i].slash_size);
    RC_ASSERT(found.table[i].score == patterns.table[i].score);
  }
}

TEST(DuoAttention, ReadsAndWritesThePublishedForm) {
  // The first two numbers of the pattern of Llama-3-8B-Instruct-Gradient-1048k, and a negative one.
  const std::string published =
      "8.593750000000000000e-01\t6.523437500000000000e-01\n"
      "-2.229213714599609375e-05\t1.000000000000000000e+00\n";
  const HeadScores scores = parse_duo_attention_tsv(published, "x.tsv");
  EXPECT_EQ(scores.layers, 2);
  EXPECT_EQ(scores.heads, 2);
  EXPECT_THAT(scores.values, ElementsAre(0.859375, 0.65234375, -2.229213714599609375e-05, 1.0));
  EXPECT_EQ(duo_attention_tsv(scores), published);
  const DuoAttentionCache cache = parse_duo_attention_config(
      R"({"model_name": "m", "config_name": null, "lr": 0.02, "sink_size": 64, "recent_size": 256})",
      "config.json");
  EXPECT_EQ(cache.sink_size, 64);
  EXPECT_EQ(cache.recent_size, 256);
  EXPECT_EQ(duo_attention_config(cache), "{\"sink_size\": 64, \"recent_size\": 256}\n");
}

TEST(DuoAttention, ErrorsNameThePlace) {
  const auto message = [](const std::string& text) {
    return error_message([&] { parse_duo_attention_tsv(text, "x.tsv"); });
  };
  EXPECT_EQ(message("1\t2\n3\tabc\n"),
            "x.tsv: line 2, column 2: 'abc' found, expected a finite number");
  EXPECT_THAT(message("1\t\n"), HasSubstr("line 1, column 2: ''"));
  EXPECT_THAT(message("1\tnan\n"), HasSubstr("'nan'"));
  EXPECT_THAT(message("1 2\n"), HasSubstr("'1 2'"));
  EXPECT_EQ(message("1\t2\n3\n"), "x.tsv: line 2 has 1 numbers, the lines before it have 2");
  EXPECT_EQ(message("1\n\n2\n"), "x.tsv: line 2 is blank");
  EXPECT_THAT(message(""), HasSubstr("no numbers"));
  const auto config = [](const std::string& text) {
    return error_message([&] { parse_duo_attention_config(text, "c.json"); });
  };
  EXPECT_EQ(config(R"({"sink_size": 4})"), "c.json: key 'recent_size' is missing");
  EXPECT_EQ(config(R"({"sink_size": -4, "recent_size": 1})"),
            "c.json: 'sink_size' is -4, expected a number of tokens");
}

TEST(RetrievalScores, AHeadsScoreIsTheMeanOfItsList) {
  const HeadScores scores = parse_retrieval_scores(
      R"({"0-1": [0.5], "0-0": [0.25, 0.75, 0.5], "1-0": [1, 0], "1-1": [0.0]})", "x.json");
  EXPECT_EQ(scores.kind, HeadKind::query);
  EXPECT_THAT(scores.values, ElementsAre(0.5, 0.5, 0.5, 0.0));
  EXPECT_EQ(retrieval_scores_json(scores),
            "{\"0-0\": [0.5], \"0-1\": [0.5], \"1-0\": [0.5], \"1-1\": [0]}\n");
}

TEST(RetrievalScores, ErrorsNameTheKey) {
  const auto message = [](const std::string& text) {
    return error_message([&] { parse_retrieval_scores(text, "x.json"); });
  };
  EXPECT_EQ(message(R"({"0-0": [1], "1-1": [1], "1-0": [1]})"),
            "x.json: no score for head 0-1; the keys speak of 2 layers of 2 heads");
  EXPECT_THAT(message(R"({"999999-0": [1]})"), HasSubstr("no score for head 0-0"));
  EXPECT_THAT(message(R"({"0-0": [1], "0-2": [1]})"), HasSubstr("no score for head 0-1"));
  for (const std::string key : {"0", "0-", "-1-0", "00-0", "0-0x", "0.0", "1e3-0", "9999999-0"}) {
    EXPECT_THAT(message("{\"" + key + "\": [1]}"),
                AllOf(HasSubstr("key '" + key + "'"), HasSubstr("layer-head")));
  }
  EXPECT_THAT(message(R"({"0-0": 1})"), HasSubstr("key '0-0': 1 found, expected a list"));
  EXPECT_THAT(message(R"({"0-0": []})"), HasSubstr("an empty list found"));
  EXPECT_THAT(message(R"({"0-0": [1, "a"]})"), HasSubstr("score 1 is 'a'"));
  EXPECT_THAT(message(R"({"0-0": [1e308, 1e308]})"), HasSubstr("not finite"));
  EXPECT_THAT(message(R"({"0-0": [1], "0-0": [2]})"), HasSubstr("occurs twice"));
  EXPECT_THAT(message("[]"), HasSubstr("a list found"));
  EXPECT_THAT(message("{"), HasSubstr("not valid JSON"));
}

TEST(MInference, ReadsThePublishedForm) {
  const MInferencePatterns patterns = parse_minference(
      R"([{"0": ["vertical_and_slash", 1000, 6096, 336], "1": ["stream_llm", 100, 800, 0.97]},
          {"1": ["block_sparse", 10, 1, 1], "0": ["vertical_and_slash", 3500, 100, 4777248]}])",
      "x.json");
  EXPECT_EQ(patterns.layers, 2);
  EXPECT_EQ(patterns.heads, 2);
  EXPECT_THAT(patterns.scores().values, ElementsAre(7096, 900, 3600, 6400));
  EXPECT_EQ(patterns.table[0].score, 336);
}

TEST(MInference, ErrorsNameLayerAndHead) {
  const auto message = [](const std::string& text) {
    return error_message([&] { parse_minference(text, "x.json"); });
  };
  const std::string good = R"({"0": ["stream_llm", 1, 2, 0]})";
  EXPECT_EQ(message("[" + good + R"(, {"0": ["zigzag", 1, 2, 0]}])"),
            "x.json: layer 1, head 0: unknown pattern 'zigzag': expected one of "
            "vertical_and_slash, stream_llm, block_sparse");
  EXPECT_THAT(message(R"([{"0": ["stream_llm", 1, 2]}])"), HasSubstr("a list of 3 found"));
  EXPECT_THAT(message(R"([{"0": ["stream_llm", [0.9, 4096], 2, 0]}])"),
              HasSubstr("head 0: the first number is a list"));
  EXPECT_THAT(message(R"([{"0": ["stream_llm", 1, -2, 0]}])"), HasSubstr("second number is -2"));
  EXPECT_THAT(message(R"([{"0": ["stream_llm", 1, 2.5, 0]}])"), HasSubstr("second number is 2.5"));
  EXPECT_THAT(message(R"([{"0": ["stream_llm", 1, 2, null]}])"), HasSubstr("score is null"));
  EXPECT_THAT(message(R"([{"1": ["stream_llm", 1, 2, 0]}])"), HasSubstr("key '1' found"));
  EXPECT_THAT(message("[" + good + ", " + good.substr(0, good.size() - 1) +
                      R"(, "1": ["stream_llm", 1, 2, 0]}])"),
              HasSubstr("layer 1: 2 heads found, the layers before it have 1"));
  EXPECT_THAT(message("[{}]"), HasSubstr("an empty object"));
  EXPECT_THAT(message("{}"), HasSubstr("expected a list with an object for each layer"));
}

TEST(HeadFiles, TheFormatFollowsFromThePath) {
  const ScratchDirectory scratch;
  write_file_atomically(scratch / "a.json", " [{\"0\": [\"stream_llm\", 1, 2, 0]}]");
  write_file_atomically(scratch / "b.json", "{\"0-0\": [1]}");
  write_file_atomically(scratch / "full_attention_heads.tsv", "1\n");
  EXPECT_EQ(detect_head_file(scratch / "a.json"), HeadFileFormat::minference);
  EXPECT_EQ(detect_head_file(scratch / "b.json"), HeadFileFormat::head_scores);
  EXPECT_EQ(detect_head_file(scratch / "some.npy"), HeadFileFormat::npy);
  EXPECT_EQ(detect_head_file(scratch / "some.tsv"), HeadFileFormat::duo_attention);
  EXPECT_EQ(detect_head_file(scratch.path()), HeadFileFormat::duo_attention);
  EXPECT_EQ(read_head_file(scratch.path(), {1, 2, 1}).at(0, 0), 1.0);
  EXPECT_THAT(error_message([&] { detect_head_file(scratch / "x.csv"); }),
              HasSubstr("a .tsv, .json or .npy file"));
  EXPECT_THAT(error_message([] { parse_head_file_format("gguf"); }),
              HasSubstr("duo-attention, head-scores, minference, npy"));
}

TEST(HeadFiles, SizesThatAreNotTheModelsAreSaidBoth) {
  const ScratchDirectory scratch;
  const std::string tsv = scratch / "x.tsv", json = scratch / "x.json", npy = scratch / "x.npy";
  write_file_atomically(tsv, "1\t2\t3\n");
  EXPECT_EQ(error_message([&] { read_head_file(tsv, kModel); }),
            tsv + ": 1 layers of 3 KV heads found, but the model has 2 layers of 2 KV heads");
  write_file_atomically(json, "{\"0-0\": [1], \"0-1\": [1]}");
  EXPECT_EQ(
      error_message([&] { read_head_file(json, kModel); }),
      json + ": 1 layers of 2 query heads found, but the model has 2 layers of 4 query heads");
  testing::write_npy(npy, {3, 2}, std::vector<float>(6, 1.0f));
  EXPECT_EQ(
      error_message([&] { read_head_file(npy, kModel); }),
      npy + ": shape [3, 2] found, but the model has 2 layers of 2 KV heads and 4 query heads");
  testing::write_npy(npy, {2, 2}, std::vector<float>{1, 2, NAN, 4});
  EXPECT_EQ(error_message([&] { read_head_file(npy, kModel); }),
            npy + ": element [1, 0] is nan, expected a finite number");
}

TEST(HeadFiles, NpyIsOfTheHeadsThatFit) {
  const ScratchDirectory scratch;
  const std::string npy = scratch / "x.npy";
  testing::write_npy(npy, {2, 2}, std::vector<std::int64_t>{1, 2, 3, 4});
  EXPECT_EQ(read_head_file(npy, kModel).kind, HeadKind::kv);
  testing::write_npy(npy, {2, 4}, std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8.5});
  const HeadScores scores = read_head_file(npy, kModel);
  EXPECT_EQ(scores.kind, HeadKind::query);
  EXPECT_EQ(scores.at(1, 3), 8.5);
}

TEST(HeadScores, GoBetweenQueryAndKvHeads) {
  const HeadScores query = {HeadKind::query, 1, 4, {1, 3, 8, 2}};
  const HeadLayout model = {1, 4, 2};
  EXPECT_THAT(to_kv_heads(query, model).values, ElementsAre(3, 8));
  EXPECT_THAT(to_kv_heads(query, model, HeadAggregation::mean).values, ElementsAre(2, 5));
  EXPECT_THAT(to_kv_heads(query, model, HeadAggregation::min).values, ElementsAre(1, 2));
  const HeadScores kv = {HeadKind::kv, 1, 2, {5, 7}};
  EXPECT_THAT(to_query_heads(kv, model).values, ElementsAre(5, 5, 7, 7));
  EXPECT_THAT(to_kv_heads(to_query_heads(kv, model), model).values, ElementsAre(5, 7));
}

TEST(ScoreComparison, LeavesOutHeadsWithoutAValue) {
  const HeadScores scores = {HeadKind::kv, 2, 2, {1, 2, 3, 4}};
  // Increases with the imported score wherever it is a number.
  const std::vector<double> values = {10, 11, NAN, 12, 13, 14, 15, NAN};
  const ScoreComparison comparison = compare_scores(scores, kModel, values);
  EXPECT_THAT(comparison.imported, ElementsAre(1, 1, 2, 2, 3, 3, 4, 4));
  EXPECT_EQ(comparison.correlation.observations, 6u);
  const std::vector<double> imported_kept = {1, 1, 2, 3, 3, 4},
                            values_kept = {10, 11, 12, 13, 14, 15};
  EXPECT_EQ(*comparison.correlation.value, *spearman(imported_kept, values_kept).value);
  ASSERT_TRUE(comparison.correlation.interval.has_value());
  EXPECT_LE(comparison.correlation.interval->low, *comparison.correlation.value);
}

}  // namespace
}  // namespace toplens
