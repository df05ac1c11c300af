#include "cli/run_text.h"

#include <algorithm>

#include <fmt/format.h>
#include <toplens/error.h>

namespace toplens {

RunText choose_windows(const AnalyzeArguments& arguments, const CheckpointModel& model,
                       AnalyzeListener& listener) {
  RunText text;
  TextArguments text_arguments = arguments.text;
  if (text_arguments.context_length == 0 && text_arguments.tokens.empty()) {
    text_arguments.context_length = arguments.measures.longest();
  }
  text.loaded = text_arguments.load(model);
  std::vector<TokenWindow> windows = cut_windows(text.loaded.documents, text.loaded.context_length,
                                                 text.loaded.bos_id, BosPolicy::window, false);
  const std::size_t available = windows.size();
  if (available == 0) {
    std::size_t longest = 0;
    for (const Document& document : text.loaded.documents) {
      longest = std::max(longest, document.token_ids.size());
    }
    throw Error(
        fmt::format("{}: too short for one window of {} tokens{}: the longest document has "
                    "{} tokens (try a smaller --context-length)",
                    text.loaded.path.string(), text.loaded.context_length,
                    text.loaded.bos_id ? ", BOS included" : "", longest));
  }
  const auto wanted = static_cast<std::size_t>(arguments.documents);
  if (available < wanted) {
    listener.note(fmt::format("note: {} has {} full window{} of {} tokens, used instead of {}",
                              text.loaded.path.string(), available, available == 1 ? "" : "s",
                              text.loaded.context_length, wanted));
  }
  text.windows = sample_windows(std::move(windows), wanted);
  text.record = describe_text(text.loaded.documents, text.windows, available);
  text.record.path = text.loaded.path;
  text.record.kind = text.loaded.kind;
  text.record.bos_id = text.loaded.bos_id;
  text.record.bos_source = text.loaded.bos_source;
  for (const WindowRecord& window : text.record.windows) {
    text.labels.push_back(window_label(window));
  }
  return text;
}

}  // namespace toplens
