#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/command.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using Arguments = std::vector<std::string>;

testing::CommandResult theory(Arguments arguments) {
  arguments.insert(arguments.begin(), "theory");
  return testing::run_command(testing::tool(), arguments);
}

std::string usage_error(const Arguments& arguments) {
  const testing::CommandResult result = theory(arguments);
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(testing::lines(result.err).size(), 1u) << result.err;
  return result.err;
}

TEST(TheoryCommand, SweepsALengthIntoCsv) {
  const testing::CommandResult result =
      theory({"--dim", "64", "--sweep", "length=256:1024", "--set-sizes", "1,4,300",
              "--weight-draws", "2", "--draws", "4"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::vector<std::string> rows = testing::lines(result.out);
  ASSERT_EQ(rows.size(), 1u + 2u + 3u + 3u);  // 300 is not defined at 256
  EXPECT_THAT(rows[0], StartsWith("parameter,value,set_size,precision_lower,precision_centre,"));
  EXPECT_THAT(rows[1], StartsWith("length,256,1,1,1,1,1,1,1,1,1,1,"));
  EXPECT_THAT(rows[8], StartsWith("length,1024,300,"));
  EXPECT_THAT(result.err, HasSubstr("set size 300 is not defined: the query sees 256 tokens"));
}

TEST(TheoryCommand, PrecisionGrowsWithTheDimension) {
  const testing::CommandResult result = theory(
      {"--json", "--sweep", "dim=32:512", "--length", "256", "--set-sizes", "8", "--seed", "3"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const nlohmann::json records = nlohmann::json::parse(result.out);
  ASSERT_EQ(records.size(), 5u);
  for (std::size_t k = 1; k < records.size(); ++k) {
    EXPECT_GE(records[k]["precision_lower"], records[k - 1]["precision_lower"]);
    EXPECT_GT(records[k]["precision_centre"], records[k - 1]["precision_centre"]);
  }
}

TEST(TheoryCommand, SweepsSetSizes) {
  const testing::CommandResult result =
      theory({"--sweep", "set-size=2:16", "--length", "64", "--weight-draws", "2"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::vector<std::string> rows = testing::lines(result.out);
  ASSERT_EQ(rows.size(), 5u);
  EXPECT_THAT(rows[4], StartsWith("16,"));
}

TEST(TheoryCommand, SimulatesHeadsWithCoverage) {
  const Arguments arguments = {"--simulate", "4",     "--documents", "4",           "--length",
                               "64",         "--dim", "32",          "--sink-mass", "0.3"};
  const testing::CommandResult result = theory(arguments);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("fixed: length, dim, sink-mass"));
  EXPECT_THAT(result.out, HasSubstr("precision: coverage "));
  EXPECT_THAT(result.out, HasSubstr("N_half, Spearman over heads"));
  EXPECT_EQ(result.out, theory(arguments).out);

  Arguments violated = arguments;
  violated.insert(violated.end(), {"--violate", "slow-decay=8", "--json"});
  const nlohmann::json json = nlohmann::json::parse(theory(violated).out);
  EXPECT_EQ(json["violation"], "slow-decay");
  EXPECT_TRUE(json["aware"]["overall"]["f_score"].contains("coverage"));
  EXPECT_EQ(json["unaware"]["by_set_size"].size(), 6u);

  Arguments table = arguments;
  table.emplace_back("--sensitivity");
  EXPECT_EQ(testing::lines(theory(table).out).size(), 2u + 2u + 1u + 6u * 2u);
}

TEST(TheoryCommand, DrawsWhatIsNotGivenWithinTheConditions) {
  EXPECT_EQ(theory({"--simulate", "2", "--documents", "2", "--sink-similarity", "0.5", "--length",
                    "64", "--dim", "16"})
                .exit_code,
            0);
}

TEST(TheoryCommand, FromARunRefusesWhatTheRunDecides) {
  EXPECT_THAT(usage_error({"--from", "nowhere", "--set-sizes", "2,4"}),
              HasSubstr("--set-sizes cannot go with --from"));
  EXPECT_THAT(usage_error({"--from", "nowhere", "--sink-mass", "0.5"}),
              HasSubstr("--sink-mass cannot go with --from"));
  EXPECT_THAT(usage_error({"--weights", "profile"}), HasSubstr("--weights needs --from"));
}

TEST(TheoryCommand, RefusesParametersOutsideTheirRange) {
  EXPECT_THAT(usage_error({"--similarity", "0.7", "--decay-amplitude", "0.5"}),
              HasSubstr("add up to 1.2"));
  EXPECT_THAT(usage_error({"--sink-norm-ratio", "-1"}), HasSubstr("sink-norm-ratio is -1"));
  EXPECT_THAT(usage_error({"--sink-mass", "1.5"}), HasSubstr("sink-mass is 1.5: expected 0 to 1"));
  EXPECT_THAT(usage_error({"--length", "100.5"}), HasSubstr("whole number"));
  EXPECT_THAT(usage_error({"--length", "8", "--set-sizes", "8,9"}),
              HasSubstr("no set size is below the length 8"));
  EXPECT_THAT(usage_error({"--sigma", "-1"}), HasSubstr("sigma is -1"));
  EXPECT_THAT(usage_error({"--ranking", "random"}), HasSubstr("ranking random"));
  EXPECT_THAT(usage_error({"--sweep", "heads=1:2"}), HasSubstr("'heads' is not known"));
  EXPECT_THAT(usage_error({"--sweep", "length=1024:256"}), HasSubstr("1024 is above 256"));
  EXPECT_THAT(usage_error({"--sweep", "similarity=0.1:0.9"}), HasSubstr("add up to"));
  EXPECT_THAT(usage_error({"--violate", "no-decay=1"}), HasSubstr("needs --simulate"));
  EXPECT_THAT(usage_error({"--simulate", "2", "--violate", "no-decay=3"}),
              HasSubstr("amount 3 is not allowed"));
  EXPECT_THAT(usage_error({"--simulate", "2", "--violate", "gravity=3"}),
              HasSubstr("heavy-tailed-norms"));
}

}  // namespace
}  // namespace toplens
