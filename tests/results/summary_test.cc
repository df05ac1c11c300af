#include "results/summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "results/example_geometry.h"

namespace toplens {
namespace {

using testing::example_geometry;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Summary, GoldenText) {
  const Dataset dataset = example_geometry(2, 3, 4, {1, 2, 4, 8, 16, 32, 64, 128});
  EXPECT_EQ(geometry_summary(GeometryView(dataset)),
            R"(How well the top N tokens separate from the rest in value space
attention ranking, Euclidean distance, mean over 12 heads and 2 documents

           top N by attention            N at random             heads
      N        P       R       F         P       R       F    F >= 0.5   F from 0 to 1
      1    0.930   0.898   0.867     0.836   0.805   0.773       100 %   █████████████████▍
      2    0.867   0.836   0.805     0.773   0.742   0.711       100 %   ████████████████▏
      4    0.805   0.773   0.742     0.711   0.680   0.648       100 %   ██████████████▉
      8    0.742   0.711   0.680     0.648   0.617   0.586       100 %   █████████████▋
     16    0.680   0.648   0.617     0.586   0.555   0.523       100 %   ████████████▍
     32    0.617   0.586   0.555     0.523   0.492   0.461        92 %   ███████████▏
     64    0.555   0.523   0.492     0.461   0.430   0.398        42 %   █████████▉
    128    0.493   0.462   0.430     0.399   0.368   0.337         0 %   ████████▋

From N = 64 on, fewer than half of the heads have F >= 0.5.
N = 128 is defined for 11 of 12 heads; the others see too few tokens.

F by layer (heads are written layer.head)

  layer      N=2     N=4     N=8    N=32    N=64   N=128          best, N=8        weakest, N=8
      0    0.836   0.773   0.711   0.586   0.523   0.461         0.0  0.734          0.2  0.672
      1    0.805   0.742   0.680   0.555   0.492   0.430         1.0  0.703          1.2  0.641
      2    0.773   0.711   0.648   0.523   0.461   0.391         2.0  0.672          2.2  0.609

At N = 8     best        0.0 0.734     0.3 0.734     0.1 0.703     1.0 0.703     1.3 0.703
           weakest     2.2 0.609     2.1 0.641     1.2 0.641     2.3 0.672     2.0 0.672
)");
}

// Columns of a line, where every character is one column wide.
std::size_t width(const std::string& line) {
  return static_cast<std::size_t>(
      std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

TEST(Summary, DeepModelsAreCondensedAndFit) {
  const Dataset dataset = example_geometry(1, 126, 3, {1, 2, 4, 8, 16, 32, 64, 128, 256, 512});
  const std::string text = geometry_summary(GeometryView(dataset));
  EXPECT_THAT(text, HasSubstr("F by layer, in groups of 4 layers"));
  EXPECT_THAT(text, HasSubstr("\n124-125 "));
  std::istringstream lines(text);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) EXPECT_LE(width(line), 100u) << line;
  EXPECT_LT(count, 70);
}

TEST(Summary, WithoutControlOrDefinedSizes) {
  const Dataset alone = example_geometry(1, 1, 1, {2}, {"contribution"}, {"cosine"});
  const std::string text = geometry_summary(GeometryView(alone));
  EXPECT_THAT(text,
              HasSubstr("contribution ranking, cosine distance, mean over 1 head and 1 document"));
  EXPECT_THAT(text, Not(HasSubstr("random")));
  EXPECT_THAT(text, Not(HasSubstr("nan")));

  const Dataset undefined = example_geometry(1, 1, 1, {2, 4});
  EXPECT_THAT(geometry_summary(GeometryView(undefined)),
              HasSubstr("4  not defined: no head sees more than 4 tokens\n"));
}

TEST(Summary, HeadlineNamesModelTextAndProtocol) {
  RunManifest manifest;
  manifest.model.path = "/models/tiny/";
  manifest.model.config.architecture = "LlamaForCausalLM";
  manifest.model.config.num_layers = 2;
  manifest.model.config.num_query_heads = 4;
  manifest.model.config.num_kv_heads = 2;
  manifest.model.config.head_dim = 16;
  manifest.text.path = "story.txt";
  manifest.text.windows = {{"story.txt", 0, 64}};
  manifest.text.windows_available = 5;
  manifest.text.context_length = 64;
  manifest.protocol.queries = "last";
  manifest.protocol.compute = "f32";
  manifest.protocol.seed = 7;
  EXPECT_EQ(run_headline(manifest),
            "model  tiny: LlamaForCausalLM, 2 layers of 4 heads (2 kv heads), head_dim 16\n"
            "text   story.txt: 1 of 5 windows, 64 tokens each\n"
            "run    queries last, f32 arithmetic, seed 7\n");
}

}  // namespace
}  // namespace toplens
