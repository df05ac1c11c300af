#include <toplens/error.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "corpus/babi.h"
#include "corpus/background.h"
#include "corpus/questions.h"

namespace {

/// What was read is written so that it is read as the same, and each support span is text.
void check(const std::vector<toplens::Question>& questions) {
  for (const toplens::Question& question : questions) {
    for (const toplens::TextSpan& span : question.support) {
      if (span.begin >= span.end || span.end > question.context.size()) std::abort();
    }
    toplens::split_sentences(question.context);
  }
  const std::string written = toplens::questions_jsonl(questions);
  if (toplens::questions_jsonl(toplens::parse_questions(written, "fuzz", "fuzz")) != written) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace toplens;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto parse : {&parse_questions, &parse_babi}) {
    std::vector<Question> questions;
    try {
      questions = parse(text, "fuzz", "fuzz");
    } catch (const Error&) {
      continue;
    }
    check(questions);
  }
  return 0;
}
