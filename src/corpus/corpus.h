#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace toplens {

/// A text with its token ids (no BOS).
struct Document {
  std::string name;  ///< "moby_dick.txt" or "pages.jsonl:17"
  std::vector<std::int32_t> token_ids;
};

/// What the model sees as one document: at most context_length tokens, BOS included.
struct TokenWindow {
  std::vector<std::int32_t> token_ids;
  std::size_t document = 0;     ///< index into the documents
  std::size_t first_token = 0;  ///< index of the first non-BOS token in the document
  bool has_bos = false;         ///< token_ids[0] is an added BOS
};

/// Reads one UTF-8 text verbatim (a trailing newline is a token). Throws Error on invalid UTF-8,
/// naming the byte offset.
std::vector<Document> read_text_documents(const std::filesystem::path& path,
                                          const Tokenizer& tokenizer);
/// One document for each line of a JSON-lines file, from its key `text`. Errors name the line.
std::vector<Document> read_jsonl_documents(const std::filesystem::path& path,
                                           const Tokenizer& tokenizer);
/// Token ids of a .npy file, [T] or [documents, T], used as they are. Each id must be in [0,
/// vocab_size).
std::vector<Document> read_token_documents(const std::filesystem::path& path, int vocab_size);

enum class BosPolicy { window, document, none };

/// Cuts documents into consecutive, non-overlapping windows of context_length tokens (BOS counted
/// where the policy adds one). `keep_short`: a document's last, short window is kept if it has at
/// least one target.
std::vector<TokenWindow> cut_windows(const std::vector<Document>& documents, int context_length,
                                     std::optional<std::int32_t> bos_id, BosPolicy policy,
                                     bool keep_short);

/// `count` of the windows, spread evenly over them in their order (all, if there are no more):
/// deterministic, recorded in the manifest.
std::vector<TokenWindow> sample_windows(std::vector<TokenWindow> windows, std::size_t count);

}  // namespace toplens
