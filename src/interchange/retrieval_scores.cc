#include "interchange/retrieval_scores.h"

#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <toplens/error.h>
#include <nlohmann/json.hpp>

#include "interchange/head_number.h"
#include "io/json_text.h"

namespace toplens {
namespace {

using HeadKey = std::pair<int, int>;

HeadKey parse_key(const std::string& key, const std::string& where) {
  const std::size_t dash = key.find('-');
  if (dash != key.npos) {
    const std::optional<int> layer = parse_head_number(std::string_view(key).substr(0, dash));
    const std::optional<int> head = parse_head_number(std::string_view(key).substr(dash + 1));
    if (layer && head) return {*layer, *head};
  }
  throw Error(
      fmt::format("{}: key {} found, expected layer-head, as in \"3-17\"", where, in_quotes(key)));
}

double mean_score(const nlohmann::json& list, const std::string& where, const std::string& key) {
  if (!list.is_array() || list.empty()) {
    throw Error(fmt::format("{}: key {}: {} found, expected a list of scores", where,
                            in_quotes(key), list.is_array() ? "an empty list" : described(list)));
  }
  double sum = 0.0;
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_number()) {
      throw Error(fmt::format("{}: key {}: score {} is {}, expected a number", where,
                              in_quotes(key), i, described(list[i])));
    }
    sum += list[i].get<double>();
  }
  const double mean = sum / static_cast<double>(list.size());
  if (!std::isfinite(mean)) {
    throw Error(
        fmt::format("{}: key {}: the mean of the scores is not finite", where, in_quotes(key)));
  }
  return mean;
}

}  // namespace

HeadScores parse_retrieval_scores(std::string_view text, const std::string& where) {
  const nlohmann::json root = parse_json(text, where);
  if (!root.is_object() || root.empty()) {
    throw Error(fmt::format("{}: {} found, expected an object of \"layer-head\": [scores]", where,
                            root.is_object() ? "an empty object" : described(root)));
  }
  std::map<HeadKey, double> by_head;
  HeadScores scores;
  for (const auto& [key, list] : root.items()) {
    const HeadKey head = parse_key(key, where);
    by_head[head] = mean_score(list, where, key);
    scores.layers = std::max(scores.layers, head.first + 1);
    scores.heads = std::max(scores.heads, head.second + 1);
  }
  // In increasing order, so the first that is not the next one tells what is missing.
  HeadKey next = {0, 0};
  const auto check_next = [&](const HeadKey& found) {
    if (found == next) return;
    throw Error(fmt::format("{}: no score for head {}-{}; the keys speak of {} layers of {} heads",
                            where, next.first, next.second, scores.layers, scores.heads));
  };
  for (const auto& [head, score] : by_head) {
    check_next(head);
    scores.values.push_back(score);
    next = head.second + 1 < scores.heads ? HeadKey{head.first, head.second + 1}
                                          : HeadKey{head.first + 1, 0};
  }
  check_next({scores.layers, 0});
  return scores;
}

std::string retrieval_scores_json(const HeadScores& scores) {
  if (scores.kind != HeadKind::query) throw Error("retrieval scores are those of query heads");
  std::string text = "{";
  for (int layer = 0; layer < scores.layers; ++layer) {
    for (int head = 0; head < scores.heads; ++head) {
      const double value = scores.at(layer, head);
      if (!std::isfinite(value)) {
        throw Error(fmt::format("retrieval scores: head {}-{} is {}, expected a finite number",
                                layer, head, value));
      }
      text += fmt::format("{}\"{}-{}\": [{}]", text.size() > 1 ? ", " : "", layer, head, value);
    }
  }
  return text + "}\n";
}

}  // namespace toplens
