#include "tokenizer/decoder.h"

#include <limits>
#include <optional>

#include "base/utf8.h"
#include "tokenizer/byte_level.h"
#include "tokenizer/byte_token.h"
#include "tokenizer/normalizer.h"

namespace toplens {

namespace {

constexpr const char* kReplacementCharacter = "\xef\xbf\xbd";

std::vector<std::string> fuse(const std::vector<std::string>& tokens) {
  std::string joined;
  for (const std::string& token : tokens) joined += token;
  return {joined};
}

/// Runs of <0xNN> tokens to the text they spell; a run that is no UTF-8 to replacement characters.
std::vector<std::string> join_bytes(const std::vector<std::string>& tokens) {
  std::vector<std::string> out;
  std::string run;
  const auto flush = [&] {
    if (run.empty()) return;
    if (find_invalid_utf8(run)) {
      out.insert(out.end(), run.size(), kReplacementCharacter);
    } else {
      out.push_back(run);
    }
    run.clear();
  };
  for (const std::string& token : tokens) {
    if (const auto byte = parse_byte_token(token)) {
      run += static_cast<char>(*byte);
    } else {
      flush();
      out.push_back(token);
    }
  }
  flush();
  return out;
}

void strip(const StripDecoder& step, std::string& token) {
  for (std::size_t i = 0; i < step.start && token.rfind(step.content, 0) == 0; ++i) {
    token.erase(0, step.content.size());
  }
  for (std::size_t i = 0; i < step.stop && token.size() >= step.content.size(); ++i) {
    if (token.compare(token.size() - step.content.size(), std::string::npos, step.content) != 0) {
      break;
    }
    token.erase(token.size() - step.content.size());
  }
}

std::string replace_text(const std::string& text, const std::string& from, const std::string& to) {
  std::string result;
  std::size_t done = 0;
  for (std::size_t at; (at = text.find(from, done)) != std::string::npos; done = at + from.size()) {
    result.append(text, done, at - done);
    result += to;
  }
  result.append(text, done);
  return result;
}

std::vector<std::string> decode_byte_level(const std::vector<std::string>& tokens) {
  std::string bytes;
  // An added token with characters outside the alphabet stands for itself.
  for (const std::string& token : tokens) bytes += from_byte_level(token).value_or(token);
  return {bytes};
}

using Tokens = std::vector<std::string>;

struct ApplyStep {
  Tokens tokens;

  Tokens operator()(const ReplaceDecoder& step) {
    for (std::string& token : tokens) {
      token =
          replace_all(step.pattern, token, step.content, std::numeric_limits<std::size_t>::max());
    }
    return std::move(tokens);
  }
  Tokens operator()(const ByteFallbackDecoder&) { return join_bytes(tokens); }
  Tokens operator()(const FuseDecoder&) { return fuse(tokens); }
  Tokens operator()(const StripDecoder& step) {
    for (std::string& token : tokens) strip(step, token);
    return std::move(tokens);
  }
  Tokens operator()(const ByteLevelDecoder&) { return decode_byte_level(tokens); }
  Tokens operator()(const MetaspaceDecoder& step) {
    if (step.strip_first && !tokens.empty() && tokens.front().rfind(step.replacement, 0) == 0) {
      tokens.front().erase(0, step.replacement.size());
    }
    for (std::string& token : tokens) token = replace_text(token, step.replacement, " ");
    return std::move(tokens);
  }
};

}  // namespace

std::string Decoder::decode(std::vector<std::string> tokens) const {
  if (steps_.empty()) {
    std::string text;
    for (std::size_t i = 0; i < tokens.size(); ++i) text += (i > 0 ? " " : "") + tokens[i];
    return text;
  }
  for (const DecoderStep& step : steps_) tokens = std::visit(ApplyStep{std::move(tokens)}, step);
  return fuse(tokens).front();
}

std::string Decoder::decode_piece(const std::string& token) const {
  Tokens tokens{token};
  for (const DecoderStep& step : steps_) {
    if (std::holds_alternative<StripDecoder>(step)) continue;
    if (std::holds_alternative<ByteFallbackDecoder>(step)) {
      for (std::string& part : tokens) {
        if (const auto byte = parse_byte_token(part))
          part = std::string(1, static_cast<char>(*byte));
      }
    } else if (const auto* metaspace = std::get_if<MetaspaceDecoder>(&step)) {
      for (std::string& part : tokens) part = replace_text(part, metaspace->replacement, " ");
    } else {
      tokens = std::visit(ApplyStep{std::move(tokens)}, step);
    }
  }
  return fuse(tokens).front();
}

}  // namespace toplens
