#include "report/page_json.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/random.h"
#include "report/words.h"

namespace toplens {
namespace {

std::vector<unsigned char> decoded(const std::string& base64) {
  std::vector<unsigned char> bytes(base64.size());
  const int size =
      EVP_DecodeBlock(bytes.data(), reinterpret_cast<const unsigned char*>(base64.data()),
                      static_cast<int>(base64.size()));
  EXPECT_GE(size, 0);
  bytes.resize(static_cast<std::size_t>(size));
  return bytes;
}

TEST(ScriptJson, EndsNoElementAndReadsBackTheSame) {
  const std::string text =
      "</script><!-- & \"quotes\" \xe2\x80\xa8 \xe2\x80\xa9 \xe2\x80\xaa \xc3\xa9";
  const std::string json = to_script_json({{"text", text}});
  for (const char* part : {"<", ">", "&", "\xe2\x80\xa8", "\xe2\x80\xa9"}) {
    EXPECT_EQ(json.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(PageJson::parse(json)["text"], text);
  EXPECT_TRUE(PageJson::accept(to_script_json({{"name", "no \xff UTF-8"}})));
}

TEST(PageTable, NumbersKeepEveryBitPlainOrPacked) {
  Random random(3);
  for (const std::size_t count : {std::size_t{10}, 2 * PageTable::kMostPlain}) {
    std::vector<double> values(count);
    for (double& value : values) value = random.uniform() - 0.5;
    values[1] = 7.0;
    values[2] = std::numeric_limits<double>::quiet_NaN();
    const PageJson column = PageTable(PageKey::none, count)
                                .column("x", std::span<const double>(values))
                                .json()["columns"]["x"];
    if (count == 10) {
      EXPECT_EQ(column[0], values[0]);
      EXPECT_EQ(column[1], 7);
      EXPECT_TRUE(column[2].is_null());
      continue;
    }
    const std::vector<unsigned char> bytes = decoded(column["doubles"]);
    ASSERT_GE(bytes.size(), values.size() * sizeof(double));  // padding
    EXPECT_EQ(std::memcmp(bytes.data(), values.data(), values.size() * sizeof(double)), 0);
  }
}

TEST(PageTable, LevelsAreWithinTwoPercentOfTheWeights) {
  std::vector<float> weights = {0.0f, 1e-9f};
  for (float weight = 0.7f; weight > 2e-5f; weight *= 0.93f) weights.push_back(weight);
  const PageJson column =
      PageTable(PageKey::head, weights.size()).levels("w", weights).json()["columns"]["w"];
  const std::vector<unsigned char> levels = decoded(column["levels"]);
  const double peak = column["peaks"][0];
  EXPECT_EQ(levels[0], 0);
  EXPECT_EQ(levels[1], 0);
  for (std::size_t i = 2; i < weights.size(); ++i) {
    const double shown = peak * std::exp2((levels[i] - 255.0) / column["per_octave"].get<double>());
    EXPECT_NEAR(shown / double{weights[i]}, 1.0, 0.022) << i;
  }
}

TEST(Words, NumbersAsPeopleWriteThem) {
  EXPECT_EQ(number_text(0.4149), "0.41");
  EXPECT_EQ(number_text(12.34), "12.3");
  EXPECT_EQ(number_text(3), "3");
  EXPECT_EQ(number_text(-0.00123), "-0.0012");
  EXPECT_EQ(number_text(std::nan("")), "-");
  EXPECT_EQ(percent_text(0.617), "62 %");
  EXPECT_EQ(count_text(1, "head"), "1 head");
  EXPECT_EQ(list_text(std::vector<std::string>{"a", "b", "c"}), "a, b and c");
  EXPECT_EQ(median_of(std::vector<double>{3, std::nan(""), 1}), 2.0);
  EXPECT_TRUE(std::isnan(median_of(std::vector<double>{})));
}

}  // namespace
}  // namespace toplens
