#include "interchange/budget_export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <toplens/error.h>

#include <filesystem>

#include "cli/export_options.h"
#include "cli/usage_error.h"
#include "io/atomic_file.h"
#include "support/error_message.h"
#include "support/scratch_directory.h"

namespace toplens {
namespace {

using ::testing::ElementsAre;
using testing::error_message;
using ::testing::HasSubstr;
using testing::ScratchDirectory;

HeadBudget small_budget() { return {{2, 4, 2}, 100, {1, 5, 64, 3, 100, 7, 2, 2}}; }

HeadScores import(const std::filesystem::path& path, HeadFileFormat format,
                  const HeadBudget& budget) {
  return read_head_file(path, format, budget.model);
}

RC_GTEST_PROP(BudgetExportProperty, EveryFormatComesBackThroughItsImporter, ()) {
  HeadBudget budget;
  const int group = *rc::gen::inRange(1, 4);
  budget.model.layers = *rc::gen::inRange(1, 4);
  budget.model.kv_heads = *rc::gen::inRange(1, 4);
  budget.model.query_heads = group * budget.model.kv_heads;
  budget.context_length = *rc::gen::inRange(1, 5000);
  for (int i = 0; i < budget.model.layers * budget.model.query_heads; ++i) {
    budget.kept_tokens.push_back(*rc::gen::inRange(1, budget.context_length + 1));
  }
  const ScratchDirectory scratch;
  const std::vector<HeadFileFormat> all = {HeadFileFormat::duo_attention,
                                           HeadFileFormat::head_scores, HeadFileFormat::minference,
                                           HeadFileFormat::npy};
  const auto files = export_budget(budget, all, scratch / "new");
  RC_ASSERT(files.size() == 5u);
  const std::vector<double> kept(budget.kept_tokens.begin(), budget.kept_tokens.end());
  std::vector<double> kv, share;
  for (std::size_t i = 0; i < kept.size(); i += static_cast<std::size_t>(group)) {
    kv.push_back(*std::max_element(kept.begin() + static_cast<std::ptrdiff_t>(i),
                                   kept.begin() + static_cast<std::ptrdiff_t>(i) + group));
    share.push_back(kv.back() / budget.context_length);
  }
  const std::filesystem::path directory = scratch / "new";
  RC_ASSERT(import(directory, HeadFileFormat::duo_attention, budget).values == share);
  RC_ASSERT(import(directory / "head_scores.json", HeadFileFormat::head_scores, budget).values ==
            kept);
  RC_ASSERT(import(directory / "minference.json", HeadFileFormat::minference, budget).values ==
            kept);
  RC_ASSERT(import(directory / "kept_tokens.npy", HeadFileFormat::npy, budget).values == kv);
}

TEST(BudgetExport, WritesWhatEnginesLoad) {
  const ScratchDirectory scratch;
  BudgetExportOptions options;
  options.duo_attention = {4, 60};
  const std::vector<HeadFileFormat> formats = {HeadFileFormat::duo_attention,
                                               HeadFileFormat::minference};
  export_budget(small_budget(), formats, scratch.path(), options);
  EXPECT_EQ(read_text_file(scratch / "full_attention_heads.tsv"),
            "5.000000000000000278e-02\t6.400000000000000133e-01\n"
            "1.000000000000000000e+00\t2.000000000000000042e-02\n");
  EXPECT_EQ(read_text_file(scratch / "config.json"), "{\"sink_size\": 4, \"recent_size\": 60}\n");
  EXPECT_THAT(read_text_file(scratch / "minference.json"),
              HasSubstr(R"([{"0": ["vertical_and_slash", 1, 0, 0], )"
                        R"("1": ["vertical_and_slash", 3, 2, 0], )"));
}

TEST(BudgetExport, RefusesABudgetOfAnotherModel) {
  const ScratchDirectory scratch;
  const std::vector<HeadFileFormat> formats = {HeadFileFormat::npy};
  const auto message = [&](const HeadBudget& budget) {
    return error_message([&] { export_budget(budget, formats, scratch.path()); });
  };
  HeadBudget budget = small_budget();
  budget.kept_tokens.pop_back();
  EXPECT_EQ(message(budget), "budget: 7 heads found, but the model has 2 layers of 4 query heads");
  budget = small_budget();
  budget.kept_tokens[6] = 101;
  EXPECT_EQ(message(budget), "budget: layer 1, head 2 keeps 101 tokens, expected 1 to 100");
  budget.kept_tokens[6] = 0;
  EXPECT_THAT(message(budget), HasSubstr("keeps 0 tokens"));
  EXPECT_TRUE(scratch.empty());
}

TEST(ExportOptions, AreReadFromTheCommandLine) {
  const ScratchDirectory scratch;
  const auto parse = [](const std::vector<std::string>& given) {
    CLI::App app;
    ExportArguments arguments;
    arguments.add_to(app);
    app.parse(std::vector<std::string>(given.rbegin(), given.rend()));
    return arguments;
  };
  const ExportArguments arguments =
      parse({"--export", "npy,duo-attention", "--sink-size", "8", "--recent-size", "16"});
  EXPECT_THAT(arguments.parse(), ElementsAre(HeadFileFormat::npy, HeadFileFormat::duo_attention));
  const std::string out = scratch.path().string();
  EXPECT_EQ(arguments.write(small_budget(), scratch.path(), HeadAggregation::mean),
            "npy: " + out + "/kept_tokens.npy\nduo-attention: " + out +
                "/full_attention_heads.tsv, " + out + "/config.json\n");
  EXPECT_EQ(read_text_file(scratch / "config.json"), "{\"sink_size\": 8, \"recent_size\": 16}\n");
  // Means 3, 33.5, 53.5, 2, rounded up.
  EXPECT_THAT(
      read_head_file(scratch / "kept_tokens.npy", HeadFileFormat::npy, small_budget().model).values,
      ElementsAre(3, 34, 54, 2));
  EXPECT_THAT(parse({}).parse(), ::testing::IsEmpty());
  EXPECT_THROW(parse({"--export", "gguf"}).parse(), UsageError);
  EXPECT_THAT(error_message([&] {
                parse({"--export", "gguf"}).parse();
              }),
              HasSubstr("duo-attention, head-scores, minference, npy"));
  EXPECT_THAT(error_message([&] {
                parse({"--export", "npy,npy"}).parse();
              }),
              HasSubstr("given twice"));
}

}  // namespace
}  // namespace toplens
