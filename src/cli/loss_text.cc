#include "cli/loss_text.h"

#include <algorithm>

#include <fmt/format.h>
#include <toplens/error.h>

#include "cli/usage_error.h"
#include "results/digest.h"
#include "results/run_manifest.h"

namespace toplens {

void LossTextArguments::add_to(CLI::App& command, bool matched) {
  text.add_to(command);
  command
      .add_option("--documents", documents,
                  "Documents (full windows of the text, spread evenly over it)")
      ->check(CLI::Range(1, 1 << 30))
      ->type_name("D")
      ->capture_default_str();
  command
      .add_option("--score-tail", score_tail,
                  "Score the last K tokens of each window alone (default: all but the first; 128 "
                  "with --context-lengths)")
      ->check(CLI::Range(1, 1 << 30))
      ->type_name("K");
  if (!matched) return;
  command
      .add_option(
          "--context-lengths", context_lengths,
          "Matched targets: several context lengths, as in 256,512,1024, that score the same "
          "final tokens (--score-tail)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("LIST");
}

LossText load_loss_text(const LossTextArguments& arguments, const CheckpointModel& model,
                        const std::function<void(const std::string&)>& note) {
  LossText text;
  LossProtocol& protocol = text.protocol;
  TextArguments source = arguments.text;
  std::vector<int> lengths = arguments.context_lengths;
  const bool matched = !lengths.empty();
  if (matched && source.context_length != 0) {
    throw UsageError("--context-length and --context-lengths are both given; give one");
  }
  std::sort(lengths.begin(), lengths.end());
  if (matched && source.tokens.empty()) {
    if (lengths.front() < 2) {
      throw UsageError(fmt::format("--context-lengths: {} is below 2", lengths.front()));
    }
    if (lengths.back() > model.config().max_position_embeddings) {
      throw UsageError(fmt::format(
          "--context-lengths: {} is more than the model's max_position_embeddings of {}",
          lengths.back(), model.config().max_position_embeddings));
    }
    source.context_length = lengths.back();
  }
  text.loaded = source.load(model);
  if (!matched) lengths = {text.loaded.context_length};
  if (lengths.back() > text.loaded.context_length) {
    throw Error(fmt::format("{}: rows of {} tokens are shorter than the context of {}",
                            text.loaded.path.string(), text.loaded.context_length, lengths.back()));
  }
  protocol.context_lengths = lengths;
  protocol.score_tail = arguments.score_tail > 0 ? arguments.score_tail : (matched ? 128 : 0);
  protocol.has_bos = text.loaded.bos_id.has_value();
  if (matched || arguments.score_tail > 0) {
    from_command_line([&] { check(protocol); });
  } else {
    check(protocol);
  }

  std::vector<TokenWindow> windows = cut_windows(text.loaded.documents, text.loaded.context_length,
                                                 text.loaded.bos_id, BosPolicy::window, false);
  text.available = windows.size();
  std::size_t longest = 0;
  const std::size_t needed =
      static_cast<std::size_t>(text.loaded.context_length) - (text.loaded.bos_id ? 1 : 0);
  for (const Document& document : text.loaded.documents) {
    longest = std::max(longest, document.token_ids.size());
    if (document.token_ids.size() < needed) ++text.too_short;
  }
  if (windows.empty()) {
    throw Error(fmt::format(
        "{}: too short for one window of {} tokens{}: the longest document has {} tokens (try a "
        "smaller context length)",
        text.loaded.path.string(), text.loaded.context_length,
        text.loaded.bos_id ? ", BOS included" : "", longest));
  }
  if (text.too_short > 0) {
    note(
        fmt::format("note: {} of {} documents are shorter than the context of {} tokens and left "
                    "out",
                    text.too_short, text.loaded.documents.size(), text.loaded.context_length));
  }
  if (text.available < static_cast<std::size_t>(arguments.documents)) {
    note(fmt::format("note: {} has {} full window{} of {} tokens, used instead of {}",
                     text.loaded.path.string(), text.available, text.available == 1 ? "" : "s",
                     text.loaded.context_length, arguments.documents));
  }
  text.windows = sample_windows(std::move(windows), static_cast<std::size_t>(arguments.documents));
  protocol.windows = text.windows.size();
  const TextRecord record = describe_text(text.loaded.documents, text.windows, text.available);
  text.tokens_sha256 = record.tokens_sha256;
  for (const WindowRecord& window : record.windows) text.labels.push_back(window_label(window));
  return text;
}

nlohmann::ordered_json loss_settings(const ModelSession& session, const LossText& text,
                                     std::uint64_t seed) {
  const CheckpointDigests digests = digest_checkpoint(
      session.model().directory(), session.model().tensors().files(), text.loaded.tokenizer_file);
  return {{"architecture", session.config().architecture},
          {"num_layers", session.config().num_layers},
          {"num_query_heads", session.config().num_query_heads},
          {"num_kv_heads", session.config().num_kv_heads},
          {"documents", text.windows.size()},
          {"context_lengths", text.protocol.context_lengths},
          {"score_tail", text.protocol.score_tail},
          {"bos", text.loaded.bos_source},
          {"seed", seed},
          {"compute", name(session.compute())},
          {"model", digests_json(digests)},
          {"text", {{"tokens_sha256", text.tokens_sha256}}}};
}

}  // namespace toplens
