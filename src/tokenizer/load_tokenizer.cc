#include <nlohmann/json.hpp>

#include <toplens/error.h>

#include "checkpoint/gguf_header.h"
#include "io/atomic_file.h"
#include "io/json_text.h"
#include "io/mapped_file.h"
#include "tokenizer/bos_policy.h"
#include "tokenizer/gguf_tokenizer.h"
#include "tokenizer/hf_tokenizer.h"
#include "tokenizer/hf_tokenizer_json.h"
#include "tokenizer/sentencepiece_tokenizer.h"
#include "tokenizer/tokenizer.h"

namespace toplens {

namespace {

namespace fs = std::filesystem;

CheckpointTokenizer with_bos(std::unique_ptr<Tokenizer> tokenizer, const fs::path& file,
                             const BosQuestion& question) {
  BosDecision bos = decide_bos(question);
  return {std::move(tokenizer), bos.id, file, std::move(bos.source)};
}

CheckpointTokenizer from_sentencepiece(const fs::path& file, const std::string& bytes) {
  auto tokenizer = std::make_unique<SentencePieceTokenizer>(bytes, file.string());
  BosQuestion question;
  question.directory = file.parent_path();
  question.find_token = [&model = *tokenizer](std::string_view content) {
    return model.find_token(content);
  };
  question.from_sentencepiece = true;
  question.sentencepiece_bos_id = tokenizer->bos_id();
  return with_bos(std::move(tokenizer), file, question);
}

CheckpointTokenizer from_tokenizer_json(const fs::path& file) {
  const nlohmann::json root = parse_json(read_text_file(file, kLargestJsonFile), file.string());
  auto tokenizer =
      std::make_unique<HfTokenizer>(parse_hf_tokenizer(root, file.string()), file.string());
  BosQuestion question;
  question.directory = file.parent_path();
  question.find_token = [&model = *tokenizer](std::string_view content) {
    return model.find_token(content);
  };
  question.tokenizer_json = &root;
  return with_bos(std::move(tokenizer), file, question);
}

}  // namespace

CheckpointTokenizer load_tokenizer(const fs::path& checkpoint) {
  if (is_gguf_path(checkpoint)) {
    const MappedFile file(checkpoint);
    const GgufHeader header = parse_gguf_header(file.bytes(), checkpoint.string());
    CheckpointTokenizer tokenizer = gguf_tokenizer(header.metadata, checkpoint);
    file.check_intact();
    return tokenizer;
  }
  const fs::path model_file = checkpoint / "tokenizer.model";
  const fs::path json_file = checkpoint / "tokenizer.json";
  const bool have_json = fs::exists(json_file);
  if (fs::exists(model_file)) {
    // tokenizer.model is the original where it is a SentencePiece model; tokenizer.json is made
    // from it. Llama-3 uses the same name for a list of another format.
    const std::string bytes = read_text_file(model_file, kLargestJsonFile);
    if (looks_like_sentencepiece(bytes)) return from_sentencepiece(model_file, bytes);
    if (!have_json) {
      throw Error(model_file.string() +
                  ": not a SentencePiece model, and there is no tokenizer.json beside it");
    }
  }
  if (have_json) return from_tokenizer_json(json_file);
  throw Error(checkpoint.string() +
              ": the checkpoint has neither tokenizer.model nor tokenizer.json");
}

}  // namespace toplens
