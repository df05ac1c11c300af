#include <algorithm>
#include <memory>

#include <fmt/format.h>
#include <toplens/error.h>
#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint_links.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "corpus/documents.h"
#include "parallel/memory.h"

namespace toplens {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  std::string model;
  std::string text;
  bool tokenizer_only = false;
  bool json = false;
  bool follow_links = false;
};

Json describe_model(const CheckpointModel& model) {
  const ModelConfig& c = model.config();
  Json json;
  json["architecture"] = c.architecture;
  json["layers"] = c.num_layers;
  json["query_heads"] = c.num_query_heads;
  json["kv_heads"] = c.num_kv_heads;
  json["head_dim"] = c.head_dim;
  json["hidden_size"] = c.hidden_size;
  json["intermediate_size"] = c.intermediate_size;
  json["vocab_size"] = c.vocab_size;
  json["max_position_embeddings"] = c.max_position_embeddings;
  json["activation"] = c.activation == Activation::silu ? "silu" : "gelu_tanh";
  json["norm_epsilon"] = c.norm_epsilon;
  json["norm_weight_offset"] = c.norm_weight_offset;
  json["post_norms"] = c.post_norms;
  json["embedding_scale"] = c.embedding_scale;
  json["query_scale"] = c.query_scale;
  json["qkv_bias"] = c.qkv_bias;
  json["tied_embeddings"] = c.tied_embeddings;
  json["attention_softcap"] = c.attention_softcap;
  json["final_softcap"] = c.final_softcap;
  json["rope"] = {{"type", c.rope.type}, {"theta", c.rope.theta}};
  if (c.rope.type != "default") json["rope"]["factor"] = c.rope.factor;
  if (c.rope.type == "llama3") {
    json["rope"]["low_freq_factor"] = c.rope.low_freq_factor;
    json["rope"]["high_freq_factor"] = c.rope.high_freq_factor;
    json["rope"]["original_max_position_embeddings"] = c.rope.original_max_position_embeddings;
  }
  json["layer_window"] = c.layer_window;
  json["weight_dtype"] = name(model.weight_type());
  json["weight_format"] = model.tensors().format();
  json["weight_tensors_by_dtype"] = model.tensors().tensors_by_type();
  json["weight_bytes"] = model.tensors().total_bytes();
  Json files = Json::array();
  for (const auto& file : model.tensors().files()) files.push_back(file.filename().string());
  json["weight_files"] = files;
  json["auto_compute"] = name(resolve_compute(ComputeMode::automatic, model.weight_type()));
  return json;
}

Json describe_tokenizer(const CheckpointTokenizer& tokenizer) {
  Json json;
  json["description"] = tokenizer.tokenizer->description();
  json["file"] = tokenizer.file.filename().string();
  json["vocab_size"] = tokenizer.tokenizer->vocab_size();
  json["bos_id"] = tokenizer.bos_id ? Json(*tokenizer.bos_id) : Json(nullptr);
  json["bos_source"] = tokenizer.bos_source;
  return json;
}

std::string show(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_array() && value.size() > 1 &&
      std::all_of(value.begin(), value.end(), [&](const Json& v) { return v == value.front(); })) {
    return fmt::format("{} (each of {})", value.front().dump(), value.size());
  }
  return value.dump();
}

std::string to_text(const Json& json) {
  std::string text;
  for (const auto& [section, fields] : json.items()) {
    text += section + "\n";
    if (fields.is_array()) {
      text += "  " + fields.dump() + "\n";
      continue;
    }
    for (const auto& [key, value] : fields.items()) {
      text += fmt::format("  {:<26}{}\n", key,
                          key == "weight_bytes"
                              ? fmt::format("{} ({})", value.dump(), format_bytes(value))
                              : show(value));
    }
  }
  return text;
}

void run(const Arguments& arguments) {
  if (!arguments.follow_links) check_links(arguments.model);
  Json json;
  if (!arguments.tokenizer_only) {
    json["model"] = describe_model(CheckpointModel(arguments.model));
  }
  try {
    const CheckpointTokenizer tokenizer = load_tokenizer(arguments.model);
    json["tokenizer"] = describe_tokenizer(tokenizer);
    if (!arguments.text.empty()) {
      json["token_ids"] =
          read_text_documents(arguments.text, *tokenizer.tokenizer).front().token_ids;
    }
  } catch (const Error& error) {
    // A checkpoint without a tokenizer is still usable, with token ids.
    if (arguments.tokenizer_only || !arguments.text.empty()) throw;
    json["tokenizer"] = {{"none", error.what()}};
  }
  print_output(arguments.json ? json.dump() + "\n" : to_text(json));
}

}  // namespace

void add_inspect_command(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *app.add_subcommand(
      "inspect",
      "Show what toplens understands of a checkpoint: sizes, windows, rope, tokenizer, BOS");
  command.add_option("MODEL", arguments->model, "Checkpoint directory or .gguf file")
      ->required()
      ->type_name("DIR|GGUF");
  command
      .add_option("--text", arguments->text,
                  "Also show the token ids of this UTF-8 file (no BOS added)")
      ->type_name("FILE");
  command.add_flag("--tokenizer-only", arguments->tokenizer_only,
                   "Look at the tokenizer alone: the directory needs no model");
  command.add_flag("--json", arguments->json, "One JSON object");
  add_follow_links_to(command, arguments->follow_links);
  command.callback([&action, arguments] { action = [arguments] { run(*arguments); }; });
}

}  // namespace toplens
