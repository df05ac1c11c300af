#include "tokenizer/bpe.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>

namespace toplens {
namespace {

/// All strings over "ab" up to length 10, and merges of random ones of them.
BpeSpec random_spec(const std::vector<std::pair<std::string, std::string>>& merges) {
  BpeSpec spec;
  std::vector<std::string> tokens{"a", "b"};
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    spec.vocab[tokens[i]] = static_cast<std::int32_t>(i);
    if (tokens[i].size() < 10) {
      tokens.push_back(tokens[i] + "a");
      tokens.push_back(tokens[i] + "b");
    }
  }
  spec.merges = merges;
  return spec;
}

/// From the definition: merge the leftmost pair of the lowest rank until there is none.
std::vector<std::string> merge_plainly(
    const std::map<std::pair<std::string, std::string>, int>& rank,
    std::vector<std::string> symbols) {
  for (;;) {
    int best = -1;
    std::size_t at = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = rank.find({symbols[i], symbols[i + 1]});
      if (found != rank.end() && (best < 0 || found->second < best)) {
        best = found->second;
        at = i;
      }
    }
    if (best < 0) return symbols;
    symbols[at] += symbols[at + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
}

RC_GTEST_PROP(BpeProperty, HeapMergesAsTheDefinitionDoes, ()) {
  const auto token = rc::gen::resize(
      3, rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::element('a', 'b'))));
  auto merges = *rc::gen::container<std::vector<std::pair<std::string, std::string>>>(
      rc::gen::pair(token, token));
  // The vocabulary of random_spec ends at 10 letters.
  const auto is_too_long = [](const auto& merge) {
    return merge.first.size() + merge.second.size() > 10;
  };
  merges.erase(std::remove_if(merges.begin(), merges.end(), is_too_long), merges.end());
  std::map<std::pair<std::string, std::string>, int> rank;
  for (std::size_t i = 0; i < merges.size(); ++i) rank[merges[i]] = static_cast<int>(i);
  const std::string word = *rc::gen::container<std::string>(rc::gen::element('a', 'b'));

  std::vector<std::string> characters;
  for (const char c : word) characters.emplace_back(1, c);
  const Bpe bpe(random_spec(merges), "test");
  std::vector<std::int32_t> expected;
  for (const auto& symbol : merge_plainly(rank, characters)) {
    expected.push_back(*bpe.find(symbol));
  }
  std::vector<std::int32_t> ids;
  bpe.encode(word, ids);
  RC_ASSERT(ids == expected);
}

// Quadratic merging would take hours here.
TEST(Bpe, OneMegabyteWord) {
  const Bpe bpe(random_spec({{"a", "b"}, {"ab", "ab"}}), "test");
  std::string word;
  for (int i = 0; i < (1 << 19); ++i) word += "ab";
  std::vector<std::int32_t> ids;
  bpe.encode(word, ids);
  EXPECT_EQ(ids.size(), std::size_t{1} << 18);
}

}  // namespace
}  // namespace toplens
