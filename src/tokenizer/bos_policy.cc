#include "tokenizer/bos_policy.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>

#include <toplens/error.h>

#include "io/atomic_file.h"
#include "io/json_text.h"
#include "tokenizer/json_reader.h"

namespace toplens {

namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr int kMaxNesting = 8;

// add_bos_token of these classes is true unless the file says otherwise.
constexpr std::array kClassesWithBos = {"LlamaTokenizer",     "LlamaTokenizerFast",
                                        "CodeLlamaTokenizer", "CodeLlamaTokenizerFast",
                                        "GemmaTokenizer",     "GemmaTokenizerFast"};
// These add only what the post_processor adds.
constexpr std::array kClassesWithoutBos = {"Qwen2Tokenizer", "Qwen2TokenizerFast", "GPT2Tokenizer",
                                           "GPT2TokenizerFast", "PreTrainedTokenizerFast"};

template <std::size_t N>
bool contains(const std::array<const char*, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

json read_json_if_there(const fs::path& path) {
  if (!fs::exists(path)) return nullptr;
  json value = parse_json(read_text_file(path, kLargestJsonFile), path.string());
  if (!value.is_object()) throw Error(path.string() + ": must be a JSON object");
  return value;
}

/// A token as "<s>" or {"content": "<s>", ...}; none where the key is absent or null.
std::optional<std::string> token_content(const json& file, const fs::path& path, const char* key) {
  if (file.is_null()) return std::nullopt;
  const JsonObject object(file, path.string());
  const json* token = object.find(key);
  if (token == nullptr) return std::nullopt;
  if (token->is_string()) return token->get<std::string>();
  return JsonObject(*token, fmt::format("{}: {}", path.string(), key)).string("content");
}

struct TemplateToken {
  std::string content;
  std::int32_t id = 0;
};

/// The special token that a post_processor puts before a single text.
std::optional<TemplateToken> leading_token(const json& value, const std::string& where, int depth) {
  if (depth > kMaxNesting) throw Error(where + ": Sequences are nested too deeply");
  const JsonObject object(value, where);
  const std::string type = object.string("type");
  if (type == "ByteLevel") return std::nullopt;
  if (type == "Sequence") {
    std::optional<TemplateToken> found;
    std::size_t index = 0;
    for (const json& member : object.array("processors")) {
      auto token = leading_token(member, fmt::format("{}.processors[{}]", where, index), depth + 1);
      if (token && found) object.fail("more than one processor starts a text with a special token");
      if (token) found = std::move(token);
      ++index;
    }
    return found;
  }
  if (type != "TemplateProcessing") {
    object.fail(
        fmt::format("the post_processor type {} is not supported; supported are "
                    "ByteLevel, TemplateProcessing, Sequence",
                    in_quotes(type)));
  }
  std::vector<std::string> leading;
  for (const json& part : object.array("single")) {
    const JsonObject element(part, where + ".single");
    if (element.find("Sequence") != nullptr) break;
    leading.push_back(
        JsonObject(element.at("SpecialToken"), where + ".single.SpecialToken").string("id"));
  }
  if (leading.empty()) return std::nullopt;
  if (leading.size() > 1) object.fail("starts a text with more than one special token");
  const JsonObject specials(object.at("special_tokens"), where + ".special_tokens");
  const JsonObject special(specials.at(leading.front().c_str()),
                           fmt::format("{}.special_tokens[{}]", where, in_quotes(leading.front())));
  const json& ids = special.array("ids");
  if (ids.size() != 1) special.fail("'ids' must be one id");
  return TemplateToken{leading.front(), parse_token_id(ids[0], special.where() + ".ids[0]")};
}

class BosPolicy {
 public:
  explicit BosPolicy(const BosQuestion& question)
      : question_(question),
        tokenizer_config_path_(question.directory / "tokenizer_config.json"),
        tokenizer_config_(read_json_if_there(tokenizer_config_path_)) {}

  BosDecision decide() const {
    if (auto decision = from_add_bos_token()) return *decision;
    if (auto decision = from_post_processor()) return *decision;
    if (auto decision = from_config()) return *decision;
    if (auto decision = from_tokenizer_class()) return *decision;
    if (question_.from_sentencepiece) return from_sentencepiece_model();
    return {std::nullopt, "no file of the checkpoint asks for a BOS token"};
  }

 private:
  std::optional<BosDecision> from_add_bos_token() const {
    if (tokenizer_config_.is_null()) return std::nullopt;
    const JsonObject config(tokenizer_config_, tokenizer_config_path_.string());
    if (config.find("add_bos_token") == nullptr) return std::nullopt;
    if (!config.boolean("add_bos_token", false)) {
      return BosDecision{std::nullopt, "tokenizer_config.json: add_bos_token is false"};
    }
    return identify("tokenizer_config.json: add_bos_token is true");
  }

  std::optional<BosDecision> from_post_processor() const {
    const fs::path path = question_.directory / "tokenizer.json";
    json read;
    const json* root = question_.tokenizer_json;
    if (root == nullptr) {
      read = read_json_if_there(path);
      root = &read;
    }
    if (root->is_null()) return std::nullopt;
    const json* processor = JsonObject(*root, path.string()).find("post_processor");
    if (processor == nullptr) return std::nullopt;
    const auto token = leading_token(*processor, path.string() + ": post_processor", 0);
    if (!token) return std::nullopt;
    if (question_.find_token(token->content) != token->id) {
      throw Error(
          fmt::format("{}: post_processor starts a text with {}, id {}, which is not what "
                      "the tokenizer calls so",
                      path.string(), in_quotes(token->content), token->id));
    }
    return BosDecision{token->id, fmt::format("tokenizer.json: post_processor starts with {}",
                                              in_quotes(token->content))};
  }

  std::optional<BosDecision> from_config() const {
    const json config = read_json_if_there(question_.directory / "config.json");
    const auto member = config.find("bos_token_id");
    if (config.is_null() || member == config.end() || !member->is_null()) return std::nullopt;
    return BosDecision{std::nullopt, "config.json: bos_token_id is null"};
  }

  std::optional<BosDecision> from_tokenizer_class() const {
    if (tokenizer_config_.is_null()) return std::nullopt;
    const auto name = JsonObject(tokenizer_config_, tokenizer_config_path_.string())
                          .optional_string("tokenizer_class");
    if (!name) return std::nullopt;
    const std::string source =
        fmt::format("tokenizer_config.json: tokenizer_class {}", in_quotes(*name));
    if (contains(kClassesWithBos, *name)) return identify(source + " adds BOS by default");
    if (contains(kClassesWithoutBos, *name)) {
      return BosDecision{std::nullopt, source + " adds no BOS by default"};
    }
    return std::nullopt;
  }

  BosDecision from_sentencepiece_model() const {
    if (question_.sentencepiece_bos_id) {
      return {question_.sentencepiece_bos_id, "tokenizer.model: its own BOS piece"};
    }
    return {std::nullopt, "tokenizer.model: it has no BOS piece"};
  }

  /// The id of the BOS token that `reason` asks for.
  BosDecision identify(const std::string& reason) const {
    const fs::path map_path = question_.directory / "special_tokens_map.json";
    std::string named_by = "tokenizer_config.json";
    auto content = token_content(tokenizer_config_, tokenizer_config_path_, "bos_token");
    if (!content) {
      content = token_content(read_json_if_there(map_path), map_path, "bos_token");
      named_by = "special_tokens_map.json";
    }
    if (content) {
      const auto id = question_.find_token(*content);
      if (!id) {
        throw Error(
            fmt::format("{}: {}, and {} names it {}, but {} has no such token",
                        question_.directory.string(), reason, named_by, in_quotes(*content),
                        question_.from_sentencepiece ? "tokenizer.model" : "tokenizer.json"));
      }
      return {id, fmt::format("{}; bos_token {} of {}", reason, in_quotes(*content), named_by)};
    }
    if (question_.sentencepiece_bos_id) {
      return {question_.sentencepiece_bos_id, reason + "; the BOS piece of tokenizer.model"};
    }
    throw Error(
        fmt::format("{}: {}, but neither tokenizer_config.json nor special_tokens_map.json "
                    "names a bos_token",
                    question_.directory.string(), reason));
  }

  const BosQuestion& question_;
  fs::path tokenizer_config_path_;
  json tokenizer_config_;
};

}  // namespace

BosDecision decide_bos(const BosQuestion& question) { return BosPolicy(question).decide(); }

}  // namespace toplens
