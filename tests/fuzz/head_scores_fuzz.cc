#include <toplens/error.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "interchange/duo_attention.h"
#include "interchange/minference.h"
#include "interchange/retrieval_scores.h"

namespace {

/// Whatever parses is written so that it parses to the same.
template <typename Parse, typename Write>
void check(std::string_view text, const Parse& parse, const Write& write) {
  try {
    const auto scores = parse(text);
    const std::string written = write(scores);
    if (write(parse(written)) != written) std::abort();
  } catch (const toplens::Error&) {
  }
}

void check_filled(const toplens::HeadScores& scores) {
  const auto heads =
      static_cast<std::size_t>(scores.layers) * static_cast<std::size_t>(scores.heads);
  if (heads == 0 || scores.values.size() != heads) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace toplens;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(
      text, [](std::string_view t) { return parse_duo_attention_tsv(t, "fuzz"); },
      [](const HeadScores& scores) {
        check_filled(scores);
        return duo_attention_tsv(scores);
      });
  check(
      text, [](std::string_view t) { return parse_duo_attention_config(t, "fuzz"); },
      duo_attention_config);
  check(
      text, [](std::string_view t) { return parse_retrieval_scores(t, "fuzz"); },
      [](const HeadScores& scores) {
        check_filled(scores);
        return retrieval_scores_json(scores);
      });
  check(
      text, [](std::string_view t) { return parse_minference(t, "fuzz"); },
      [](const MInferencePatterns& patterns) {
        check_filled(patterns.scores());
        return minference_json(patterns);
      });
  return 0;
}
