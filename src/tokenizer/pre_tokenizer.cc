#include "tokenizer/pre_tokenizer.h"

#include <algorithm>

#include "tokenizer/byte_level.h"

namespace toplens {

namespace {

struct PreToken {
  std::string text;
  bool at_start = false;
};

struct Span {
  ByteRange range;
  bool is_match = false;
};

/// The whole text as matches and what lies between them. Empty spans are left out at the end only:
/// an empty match still parts its neighbours.
std::vector<Span> find_spans(const Regex& pattern, const std::string& text, bool invert) {
  std::vector<Span> spans;
  std::size_t done = 0;
  for (const ByteRange match : pattern.find_all(text)) {
    if (match.begin > done) spans.push_back({{done, match.begin}, invert});
    spans.push_back({match, !invert});
    done = match.end;
  }
  if (done < text.size()) spans.push_back({{done, text.size()}, invert});
  return spans;
}

std::vector<ByteRange> merge_spans(const std::vector<Span>& spans, SplitBehavior behavior) {
  std::vector<ByteRange> ranges;
  switch (behavior) {
    case SplitBehavior::isolated:
      for (const Span& span : spans) ranges.push_back(span.range);
      break;
    case SplitBehavior::removed:
      for (const Span& span : spans) {
        if (!span.is_match) ranges.push_back(span.range);
      }
      break;
    case SplitBehavior::contiguous:
      for (std::size_t i = 0; i < spans.size(); ++i) {
        if (i > 0 && spans[i].is_match == spans[i - 1].is_match) {
          ranges.back().end = spans[i].range.end;
        } else {
          ranges.push_back(spans[i].range);
        }
      }
      break;
    case SplitBehavior::merged_with_previous:
      for (std::size_t i = 0; i < spans.size(); ++i) {
        if (i > 0 && spans[i].is_match && !spans[i - 1].is_match) {
          ranges.back().end = spans[i].range.end;
        } else {
          ranges.push_back(spans[i].range);
        }
      }
      break;
    case SplitBehavior::merged_with_next:
      for (std::size_t i = 0; i < spans.size(); ++i) {
        if (i > 0 && !spans[i].is_match && spans[i - 1].is_match) {
          ranges.back().end = spans[i].range.end;
        } else {
          ranges.push_back(spans[i].range);
        }
      }
      break;
  }
  return ranges;
}

void split(const Regex& pattern, SplitBehavior behavior, bool invert, const PreToken& token,
           std::vector<PreToken>& out) {
  for (const ByteRange range : merge_spans(find_spans(pattern, token.text, invert), behavior)) {
    if (range.begin == range.end) continue;
    out.push_back({token.text.substr(range.begin, range.end - range.begin),
                   token.at_start && range.begin == 0});
  }
}

struct ApplyStep {
  PreToken token;
  std::vector<PreToken>& out;

  void operator()(const SplitStep& step) {
    split(step.pattern, step.behavior, step.invert, token, out);
  }

  void operator()(const ByteLevelStep& step) {
    if (step.add_prefix_space && token.text.front() != ' ') token.text.insert(0, 1, ' ');
    const std::size_t first = out.size();
    if (step.pattern) {
      split(*step.pattern, SplitBehavior::isolated, false, token, out);
    } else {
      out.push_back(std::move(token));
    }
    for (std::size_t i = first; i < out.size(); ++i) out[i].text = to_byte_level(out[i].text);
  }

  void operator()(const MetaspaceStep& step) {
    std::string replaced;
    replaced.reserve(token.text.size() * 3 / 2);
    for (const char c : token.text) {
      if (c == ' ') {
        replaced += step.replacement;
      } else {
        replaced += c;
      }
    }
    const bool wanted = step.prepend == MetaspaceStep::Prepend::always ||
                        (step.prepend == MetaspaceStep::Prepend::first && token.at_start);
    if (wanted && replaced.rfind(step.replacement, 0) != 0) replaced.insert(0, step.replacement);
    token.text = std::move(replaced);
    if (step.split) {
      split(*step.split, SplitBehavior::merged_with_next, false, token, out);
    } else {
      out.push_back(std::move(token));
    }
  }
};

}  // namespace

std::vector<std::string> PreTokenizer::apply(std::string text, bool at_start) const {
  std::vector<PreToken> tokens;
  if (!text.empty()) tokens.push_back({std::move(text), at_start});
  for (const PreTokenizerStep& step : steps_) {
    std::vector<PreToken> cut;
    cut.reserve(tokens.size());
    for (PreToken& token : tokens) std::visit(ApplyStep{std::move(token), cut}, step);
    tokens = std::move(cut);
  }
  std::vector<std::string> texts;
  texts.reserve(tokens.size());
  for (PreToken& token : tokens) texts.push_back(std::move(token.text));
  return texts;
}

bool PreTokenizer::is_byte_level() const {
  return std::any_of(steps_.begin(), steps_.end(), [](const PreTokenizerStep& step) {
    return std::holds_alternative<ByteLevelStep>(step);
  });
}

}  // namespace toplens
