#include "corpus/background.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include <toplens/error.h>

#include "base/random.h"

namespace toplens {

namespace {

/// Sentences too long for what is left, before the context counts as full.
constexpr std::size_t kMostSkipped = 64;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/// Where the sentence that goes on at `from` ends.
std::size_t sentence_end(std::string_view text, std::size_t from) {
  constexpr std::array<std::string_view, 6> kClosing = {
      "\"", "'", ")", "]", "\xe2\x80\x9d" /* right double quote */, "\xe2\x80\x99" /* single */};
  for (std::size_t at = from; (at = text.find_first_of(".!?", at)) != text.npos;) {
    at = std::min(text.find_first_not_of(".!?", at), text.size());
    for (bool more = true; more;) {
      more = false;
      for (const std::string_view mark : kClosing) {
        if (text.substr(at).starts_with(mark)) {
          at += mark.size();
          more = true;
        }
      }
    }
    if (at >= text.size() || is_space(text[at])) return at;
  }
  return text.size();
}

/// The sentences of a text as parts of it, without the white space around them.
std::vector<TextSpan> sentence_spans(std::string_view text) {
  std::vector<TextSpan> spans;
  for (std::size_t begin = 0; begin < text.size();) {
    while (begin < text.size() && is_space(text[begin])) ++begin;
    if (begin == text.size()) break;
    std::size_t end = sentence_end(text, begin);
    const std::size_t next = end;
    while (is_space(text[end - 1])) --end;  // of a text that ends without a full stop
    spans.push_back({begin, end});
    begin = next;
  }
  return spans;
}

/// The context's sentences; those that one support span covers stay together.
std::vector<TextSpan> units_of(const Question& question) {
  std::vector<TextSpan> units;
  for (const TextSpan& sentence : sentence_spans(question.context)) {
    const bool within =
        std::any_of(question.support.begin(), question.support.end(), [&](const TextSpan& support) {
          return !units.empty() && support.begin < units.back().end && support.end > sentence.begin;
        });
    if (within) {
      units.back().end = sentence.end;
    } else {
      units.push_back(sentence);
    }
  }
  return units;
}

/// Puts the units and the background one after the other; `is_unit` says which comes where.
Question assemble(const Question& question, const std::vector<TextSpan>& units,
                  const std::vector<std::string_view>& background,
                  const std::vector<bool>& is_unit) {
  Question mixed = question;
  std::string& text = mixed.context;
  text.clear();
  std::size_t unit = 0, sentence = 0;
  for (std::size_t i = 0; i < is_unit.size(); ++i) {
    if (!is_unit[i]) {
      if (i > 0) text += ' ';
      text += background[sentence++];
      continue;
    }
    const TextSpan& span = units[unit];
    if (i > 0 && is_unit[i - 1]) {  // as it was
      const std::size_t before = units[unit - 1].end;
      text.append(question.context, before, span.begin - before);
    } else if (i > 0) {
      text += ' ';
    }
    for (std::size_t s = 0; s < question.support.size(); ++s) {
      const TextSpan& support = question.support[s];
      if (support.begin < span.end && support.end > span.begin) {
        mixed.support[s].begin = text.size() + std::max(support.begin, span.begin) - span.begin;
        mixed.support[s].end = text.size() + std::min(support.end, span.end) - span.begin;
      }
    }
    text.append(question.context, span.begin, span.end - span.begin);
    ++unit;
  }
  return mixed;
}

/// Which of units + background places are the units', every choice equally likely.
std::vector<bool> draw_places(std::size_t units, std::size_t background, Random random) {
  std::vector<bool> is_unit;
  for (std::size_t left = units + background; left > 0; --left) {
    is_unit.push_back(random.below(left) < units);
    if (is_unit.back()) --units;
  }
  return is_unit;
}

}  // namespace

std::vector<std::string> split_sentences(std::string_view text) {
  std::vector<std::string> sentences;
  for (const TextSpan& span : sentence_spans(text)) {
    std::string sentence;
    for (std::size_t at = span.begin; at < span.end; ++at) {
      if (!is_space(text[at])) {
        sentence += text[at];
      } else if (!is_space(text[at - 1])) {
        sentence += ' ';
      }
    }
    sentences.push_back(std::move(sentence));
  }
  return sentences;
}

BackgroundMixer::BackgroundMixer(std::vector<std::string> sentences, const std::string& where,
                                 const Tokenizer& tokenizer, std::uint64_t seed)
    : sentences_(std::move(sentences)),
      where_(where),
      tokenizer_(tokenizer),
      seed_(seed),
      tokens_(sentences_.size()) {
  if (sentences_.empty()) throw Error(where + ": the background text has no sentences");
}

std::size_t BackgroundMixer::count_tokens(std::size_t sentence) {
  std::optional<std::size_t>& count = tokens_[sentence];
  if (!count) count = tokenizer_.encode(sentences_[sentence]).size();
  return *count;
}

std::vector<std::size_t> BackgroundMixer::choose(std::size_t budget, std::size_t first) {
  std::vector<std::size_t> chosen;
  std::size_t skipped = 0;
  for (std::size_t k = 0; k < sentences_.size() && budget > 0 && skipped < kMostSkipped; ++k) {
    const std::size_t sentence = (first + k) % sentences_.size();
    if (count_tokens(sentence) > budget) {
      ++skipped;
      continue;
    }
    budget -= count_tokens(sentence);
    chosen.push_back(sentence);
  }
  if (budget > 0 && skipped == 0) {
    throw Error(fmt::format("{}: its {} sentences are {} tokens too short for the background",
                            where_, sentences_.size(), budget));
  }
  return chosen;
}

Question BackgroundMixer::mix(const Question& question, std::size_t tokens, std::uint64_t index) {
  const std::size_t own = tokenizer_.encode(question.context).size();
  if (own > tokens) {
    throw Error(fmt::format("{}: the context alone has {} tokens, more than the {} wanted",
                            question.name, own, tokens));
  }
  const std::vector<TextSpan> units = units_of(question);
  const std::size_t first = Random(seed_, {index, 0}).below(sentences_.size());
  std::vector<std::size_t> chosen = choose(tokens - own, first);
  while (true) {
    std::vector<std::string_view> background;
    for (const std::size_t sentence : chosen) background.push_back(sentences_[sentence]);
    Question mixed = assemble(question, units, background,
                              draw_places(units.size(), chosen.size(), Random(seed_, {index, 1})));
    // Together they can have a token more than alone.
    if (chosen.empty() || tokenizer_.encode(mixed.context).size() <= tokens) return mixed;
    chosen.pop_back();
  }
}

}  // namespace toplens
