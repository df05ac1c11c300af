#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <toplens/error.h>

#include "corpus/corpus.h"

namespace toplens {
namespace {

using Ids = std::vector<std::int32_t>;
constexpr std::int32_t kBos = 1000;

std::vector<Document> documents(const std::vector<int>& lengths) {
  std::vector<Document> result;
  std::int32_t next = 0;
  for (const int length : lengths) {
    Document& document = result.emplace_back();
    for (int t = 0; t < length; ++t) document.token_ids.push_back(next++);
  }
  return result;
}

TEST(Windows, Policies) {
  const auto texts = documents({7});
  const auto ids = [&](BosPolicy policy, bool keep_short) {
    std::vector<Ids> result;
    for (const auto& window : cut_windows(texts, 3, kBos, policy, keep_short)) {
      result.push_back(window.token_ids);
    }
    return result;
  };
  EXPECT_EQ(ids(BosPolicy::window, false),
            (std::vector<Ids>{{kBos, 0, 1}, {kBos, 2, 3}, {kBos, 4, 5}}));
  EXPECT_EQ(ids(BosPolicy::window, true).back(), (Ids{kBos, 6}));
  EXPECT_EQ(ids(BosPolicy::document, false), (std::vector<Ids>{{kBos, 0, 1}, {2, 3, 4}}));
  EXPECT_EQ(ids(BosPolicy::document, true).back(), (Ids{5, 6}));
  // The last token alone has nothing that predicts it.
  EXPECT_EQ(ids(BosPolicy::none, true), (std::vector<Ids>{{0, 1, 2}, {3, 4, 5}}));
  EXPECT_EQ(cut_windows(texts, 3, std::nullopt, BosPolicy::window, true).size(), 2u);
  EXPECT_THROW(cut_windows(texts, 1, kBos, BosPolicy::window, true), Error);
}

RC_GTEST_PROP(WindowsProperty, CoverDocumentsInOrderWithoutOverlap, ()) {
  const auto texts = documents(*rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 40)));
  const int context_length = *rc::gen::inRange(2, 12);
  const auto policy = *rc::gen::element(BosPolicy::window, BosPolicy::document, BosPolicy::none);
  const bool keep_short = *rc::gen::arbitrary<bool>();
  const auto windows = cut_windows(texts, context_length, kBos, policy, keep_short);
  std::vector<std::size_t> covered(texts.size(), 0);
  std::size_t previous_document = 0;
  for (const TokenWindow& window : windows) {
    RC_ASSERT(window.document >= previous_document);
    previous_document = window.document;
    const std::size_t bos = window.has_bos ? 1 : 0;
    RC_ASSERT(window.token_ids.size() == static_cast<std::size_t>(context_length) ||
              (keep_short && window.token_ids.size() >= 2));
    RC_ASSERT(window.first_token == covered[window.document]);
    RC_ASSERT(window.has_bos == (policy == BosPolicy::window ||
                                 (policy == BosPolicy::document && window.first_token == 0)));
    if (window.has_bos) RC_ASSERT(window.token_ids[0] == kBos);
    for (std::size_t t = bos; t < window.token_ids.size(); ++t) {
      RC_ASSERT(window.token_ids[t] ==
                texts[window.document].token_ids[window.first_token + t - bos]);
    }
    covered[window.document] += window.token_ids.size() - bos;
  }
  for (std::size_t d = 0; d < texts.size(); ++d) {
    const std::size_t left = texts[d].token_ids.size() - covered[d];
    RC_ASSERT(left < (keep_short ? 2u : static_cast<std::size_t>(context_length)));
  }
}

TEST(SampleWindows, SpreadEvenly) {
  std::vector<TokenWindow> windows(10);
  for (std::size_t i = 0; i < windows.size(); ++i) windows[i].first_token = i;
  std::vector<std::size_t> taken;
  for (const auto& window : sample_windows(windows, 4)) taken.push_back(window.first_token);
  EXPECT_EQ(taken, (std::vector<std::size_t>{0, 2, 5, 7}));
  EXPECT_EQ(sample_windows(windows, 10).size(), 10u);
  EXPECT_EQ(sample_windows(windows, 99).size(), 10u);
  EXPECT_EQ(sample_windows(windows, 0).size(), 0u);
}

}  // namespace
}  // namespace toplens
