#include <fmt/core.h>

#include <algorithm>

#include <toplens/error.h>

#include "corpus/corpus.h"

namespace toplens {

std::vector<TokenWindow> cut_windows(const std::vector<Document>& documents, int context_length,
                                     std::optional<std::int32_t> bos_id, BosPolicy policy,
                                     bool keep_short) {
  if (context_length < 2) {
    throw Error(
        fmt::format("the context length is {}, it must be at least 2 so that a window has "
                    "a token to predict",
                    context_length));
  }
  const auto length = static_cast<std::size_t>(context_length);
  std::vector<TokenWindow> windows;
  for (std::size_t document = 0; document < documents.size(); ++document) {
    const std::vector<std::int32_t>& ids = documents[document].token_ids;
    for (std::size_t first = 0; first < ids.size();) {
      const bool has_bos =
          bos_id && (policy == BosPolicy::window || (policy == BosPolicy::document && first == 0));
      const std::size_t count = std::min(length - (has_bos ? 1 : 0), ids.size() - first);
      const std::size_t total = count + (has_bos ? 1 : 0);
      if (total == length || (keep_short && total >= 2)) {
        TokenWindow window;
        window.document = document;
        window.first_token = first;
        window.has_bos = has_bos;
        window.token_ids.reserve(total);
        if (has_bos) window.token_ids.push_back(*bos_id);
        const auto begin = ids.begin() + static_cast<std::ptrdiff_t>(first);
        window.token_ids.insert(window.token_ids.end(), begin,
                                begin + static_cast<std::ptrdiff_t>(count));
        windows.push_back(std::move(window));
      }
      first += count;
    }
  }
  return windows;
}

std::vector<TokenWindow> sample_windows(std::vector<TokenWindow> windows, std::size_t count) {
  const std::size_t total = windows.size();
  if (count >= total) return windows;
  // floor(k * total / count) >= k and increases with k, so windows can be moved in place.
  for (std::size_t k = 0; k < count; ++k) {
    const std::size_t source = k * total / count;
    if (source != k) windows[k] = std::move(windows[source]);
  }
  windows.resize(count);
  return windows;
}

}  // namespace toplens
