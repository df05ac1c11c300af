#include "tokenizer/hf_tokenizer_json.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include <toplens/error.h>

#include "base/utf8.h"
#include "io/json_text.h"
#include "tokenizer/json_reader.h"

namespace toplens {

namespace {

using nlohmann::json;

constexpr int kMaxNesting = 8;  // of Sequences
constexpr const char* kNormalizers = "NFC, NFD, NFKC, NFKD, Prepend, Replace, Sequence";
constexpr const char* kPreTokenizers = "ByteLevel, Digits, Metaspace, Split, Sequence";
constexpr const char* kDecoders =
    "ByteFallback, ByteLevel, Fuse, Metaspace, Replace, Strip, Sequence";

/// Calls `parse_step(object, type)` for the component at `value` and for those of nested Sequences,
/// in order. `members` is the key of a Sequence's list.
template <typename ParseStep>
void for_each_step(const json& value, const std::string& where, const char* members, int depth,
                   const ParseStep& parse_step) {
  if (depth > kMaxNesting) {
    throw Error(fmt::format("{}: Sequences are nested deeper than {}", where, kMaxNesting));
  }
  const JsonObject object(value, where);
  const std::string type = object.string("type");
  if (type != "Sequence") {
    parse_step(object, type);
    return;
  }
  object.allow_only({"type", members});
  std::size_t index = 0;
  for (const json& member : object.array(members)) {
    for_each_step(member, fmt::format("{}.{}[{}]", where, members, index), members, depth + 1,
                  parse_step);
    ++index;
  }
}

[[noreturn]] void fail_unknown(const JsonObject& object, std::string_view what,
                               const std::string& type, std::string_view supported) {
  object.fail(fmt::format("the {} type {} is not supported; supported are {}", what,
                          in_quotes(type), supported));
}

/// {"String": "..."} or {"Regex": "..."}.
Regex parse_pattern(const JsonObject& owner) {
  const JsonObject pattern(owner.at("pattern"), owner.where() + ".pattern");
  pattern.allow_only({"String", "Regex"});
  const bool is_literal = pattern.find("String") != nullptr;
  if (is_literal == (pattern.find("Regex") != nullptr)) {
    pattern.fail("must have either 'String' or 'Regex'");
  }
  if (!is_literal) return Regex::compile(pattern.string("Regex"), pattern.where());
  const std::string text = pattern.string("String");
  if (text.empty()) pattern.fail("'String' is empty");
  return Regex::literal(text, pattern.where());
}

std::string parse_character(const JsonObject& object, const char* key) {
  const std::string text = object.string(key);
  if (text.empty() || utf8_length(text.front()) != text.size()) {
    object.fail(fmt::format("'{}' must be one character", key));
  }
  return text;
}

NormalizerStep parse_normalizer_step(const JsonObject& object, const std::string& type) {
  if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
    object.allow_only({"type"});
    return type == "NFC"    ? UnicodeForm::nfc
           : type == "NFD"  ? UnicodeForm::nfd
           : type == "NFKC" ? UnicodeForm::nfkc
                            : UnicodeForm::nfkd;
  }
  if (type == "Prepend") {
    object.allow_only({"type", "prepend"});
    return PrependStep{object.string("prepend")};
  }
  if (type == "Replace") {
    object.allow_only({"type", "pattern", "content"});
    return ReplaceStep{parse_pattern(object), object.string("content")};
  }
  fail_unknown(object, "normalizer", type, kNormalizers);
}

SplitBehavior parse_behavior(const JsonObject& object) {
  const std::string name = object.string("behavior");
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  object.fail(
      fmt::format("the behavior {} is not one of Removed, Isolated, MergedWithPrevious, "
                  "MergedWithNext, Contiguous",
                  in_quotes(name)));
}

/// prepend_scheme, or add_prefix_space as older files have it.
MetaspaceStep::Prepend parse_prepend(const JsonObject& object) {
  using Prepend = MetaspaceStep::Prepend;
  const bool add_prefix_space = object.boolean("add_prefix_space", true);
  const auto scheme = object.optional_string("prepend_scheme");
  if (!scheme) return add_prefix_space ? Prepend::always : Prepend::never;
  if (!add_prefix_space && *scheme != "never") {
    object.fail(
        fmt::format("add_prefix_space false contradicts prepend_scheme {}", in_quotes(*scheme)));
  }
  if (*scheme == "always") return Prepend::always;
  if (*scheme == "first") return Prepend::first;
  if (*scheme == "never") return Prepend::never;
  object.fail(
      fmt::format("the prepend_scheme {} is not one of always, first, never", in_quotes(*scheme)));
}

PreTokenizerStep parse_pre_tokenizer_step(const JsonObject& object, const std::string& type) {
  if (type == "ByteLevel") {
    // trim_offsets concerns offsets only.
    object.allow_only({"type", "add_prefix_space", "trim_offsets", "use_regex"});
    ByteLevelStep step;
    step.add_prefix_space = object.boolean("add_prefix_space", true);
    if (object.boolean("use_regex", true)) {
      step.pattern = Regex::compile(kGpt2Pattern, object.where());
    }
    return step;
  }
  if (type == "Split") {
    object.allow_only({"type", "pattern", "behavior", "invert"});
    return SplitStep{parse_pattern(object), parse_behavior(object),
                     object.boolean("invert", false)};
  }
  if (type == "Digits") {
    object.allow_only({"type", "individual_digits"});
    return SplitStep{Regex::compile("\\p{N}", object.where()),
                     object.boolean("individual_digits", false) ? SplitBehavior::isolated
                                                                : SplitBehavior::contiguous,
                     false};
  }
  if (type == "Metaspace") {
    object.allow_only(
        {"type", "replacement", "str_rep", "add_prefix_space", "prepend_scheme", "split"});
    MetaspaceStep step;
    step.replacement = parse_character(object, "replacement");
    step.prepend = parse_prepend(object);
    if (object.boolean("split", true)) {
      step.split = Regex::literal(step.replacement, object.where());
    }
    return step;
  }
  fail_unknown(object, "pre_tokenizer", type, kPreTokenizers);
}

DecoderStep parse_decoder_step(const JsonObject& object, const std::string& type) {
  if (type == "Replace") {
    object.allow_only({"type", "pattern", "content"});
    return ReplaceDecoder{parse_pattern(object), object.string("content")};
  }
  if (type == "ByteFallback") {
    object.allow_only({"type"});
    return ByteFallbackDecoder{};
  }
  if (type == "Fuse") {
    object.allow_only({"type"});
    return FuseDecoder{};
  }
  if (type == "Strip") {
    object.allow_only({"type", "content", "start", "stop"});
    return StripDecoder{parse_character(object, "content"), object.count("start"),
                        object.count("stop")};
  }
  if (type == "ByteLevel") {
    object.allow_only({"type", "add_prefix_space", "trim_offsets", "use_regex"});
    return ByteLevelDecoder{};
  }
  if (type == "Metaspace") {
    object.allow_only(
        {"type", "replacement", "str_rep", "add_prefix_space", "prepend_scheme", "split"});
    return MetaspaceDecoder{parse_character(object, "replacement"),
                            parse_prepend(object) != MetaspaceStep::Prepend::never};
  }
  fail_unknown(object, "decoder", type, kDecoders);
}

template <typename Step, typename Parse>
std::vector<Step> parse_steps(const JsonObject& root, const char* key, const char* members,
                              const Parse& parse) {
  std::vector<Step> steps;
  const json* value = root.find(key);
  if (value == nullptr) return steps;
  for_each_step(*value, fmt::format("{}: {}", root.where(), key), members, 0,
                [&](const JsonObject& object, const std::string& type) {
                  steps.push_back(parse(object, type));
                });
  return steps;
}

std::vector<AddedToken> parse_added_tokens(const JsonObject& root) {
  std::vector<AddedToken> tokens;
  if (root.find("added_tokens") == nullptr) return tokens;
  for (const json& value : root.array("added_tokens")) {
    const JsonObject object(value,
                            fmt::format("{}: added_tokens[{}]", root.where(), tokens.size()));
    object.allow_only(
        {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"});
    AddedToken token;
    token.id = object.token_id("id");
    token.content = object.string("content");
    token.special = object.boolean("special", false);
    token.normalized = object.boolean("normalized", !token.special);
    token.single_word = object.boolean("single_word", false);
    token.lstrip = object.boolean("lstrip", false);
    token.rstrip = object.boolean("rstrip", false);
    tokens.push_back(std::move(token));
  }
  return tokens;
}

/// "a b", or ["a", "b"] as newer files have it.
std::pair<std::string, std::string> parse_merge(const json& value, const JsonObject& model,
                                                std::size_t index) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    const std::size_t space = text.find(' ');
    if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
      return {text.substr(0, space), text.substr(space + 1)};
    }
  } else if (value.is_array() && value.size() == 2 && value[0].is_string() &&
             value[1].is_string()) {
    return {value[0].get<std::string>(), value[1].get<std::string>()};
  }
  model.fail(fmt::format("merges[{}] must be \"LEFT RIGHT\" or [\"LEFT\", \"RIGHT\"]", index));
}

BpeSpec parse_model(const JsonObject& root) {
  const JsonObject model(root.at("model"), root.where() + ": model");
  // Old files have no type; a list of merges is what only BPE has.
  const std::string type = model.find("type") != nullptr     ? model.string("type")
                           : model.find("merges") != nullptr ? "BPE"
                                                             : model.string("type");
  if (type != "BPE") {
    model.fail(
        fmt::format("the model type {} is not supported; supported is BPE (byte-level or "
                    "with byte fallback)",
                    in_quotes(type)));
  }
  model.allow_only({"type", "dropout", "unk_token", "continuing_subword_prefix",
                    "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges", "vocab",
                    "merges"});
  if (const json* dropout = model.find("dropout"); dropout != nullptr && *dropout != 0) {
    model.fail("'dropout' makes the tokens random; it must be null or 0");
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model.optional_string(key).value_or("").empty()) {
      model.fail(fmt::format("'{}' is not supported", key));
    }
  }
  BpeSpec spec;
  spec.unk_token = model.optional_string("unk_token");
  spec.fuse_unk = model.boolean("fuse_unk", false);
  spec.byte_fallback = model.boolean("byte_fallback", false);
  spec.ignore_merges = model.boolean("ignore_merges", false);
  const json& vocab = model.at("vocab");
  if (!vocab.is_object()) model.fail("'vocab' must be an object");
  spec.vocab.reserve(vocab.size());
  for (const auto& [token, id] : vocab.items()) {
    spec.vocab.emplace(
        token, parse_token_id(id, fmt::format("{}: vocab {}", model.where(), in_quotes(token))));
  }
  const json& merges = model.array("merges");
  spec.merges.reserve(merges.size());
  for (const json& merge : merges) {
    spec.merges.push_back(parse_merge(merge, model, spec.merges.size()));
  }
  return spec;
}

}  // namespace

HfTokenizerSpec parse_hf_tokenizer(const json& value, const std::string& where) {
  const JsonObject root(value, where);
  // truncation and padding concern batches; post_processor is the BOS policy's (bos_policy.h).
  root.allow_only({"version", "truncation", "padding", "added_tokens", "normalizer",
                   "pre_tokenizer", "post_processor", "decoder", "model"});
  HfTokenizerSpec spec;
  spec.model = parse_model(root);
  spec.added_tokens = parse_added_tokens(root);
  spec.normalizer = Normalizer(
      parse_steps<NormalizerStep>(root, "normalizer", "normalizers", parse_normalizer_step));
  spec.pre_tokenizer = PreTokenizer(parse_steps<PreTokenizerStep>(
      root, "pre_tokenizer", "pretokenizers", parse_pre_tokenizer_step));
  spec.decoder = Decoder(parse_steps<DecoderStep>(root, "decoder", "decoders", parse_decoder_step));
  return spec;
}

}  // namespace toplens
