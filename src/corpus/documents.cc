#include "corpus/documents.h"

#include <utility>

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include <toplens/error.h>

#include "base/utf8.h"
#include "io/atomic_file.h"
#include "io/npy.h"

namespace toplens {

namespace {

[[noreturn]] void fail_utf8(const std::string& where, std::size_t offset, char byte) {
  throw Error(fmt::format("{}: invalid UTF-8 at byte {} (0x{:02X}); the text must be UTF-8", where,
                          offset, static_cast<unsigned char>(byte)));
}

std::string parse_text(std::string_view line, const std::string& where) {
  nlohmann::json record;
  try {
    record = nlohmann::json::parse(line);
  } catch (const nlohmann::json::exception& error) {
    throw Error(fmt::format("{}: not valid JSON: {}", where, error.what()));
  }
  if (!record.is_object()) {
    throw Error(fmt::format("{}: found {}, expected an object with the key 'text'", where,
                            record.type_name()));
  }
  const auto text = record.find("text");
  if (text == record.end()) throw Error(where + ": the object has no key 'text'");
  if (!text->is_string()) {
    throw Error(fmt::format("{}: 'text' must be a string, found {}", where, text->type_name()));
  }
  return text->get<std::string>();
}

/// Makes documents of lines.
class DocumentCollector {
 public:
  DocumentCollector(std::string name, const Tokenizer& tokenizer)
      : name_(std::move(name)), tokenizer_(tokenizer) {}

  JsonLineReader reader() {
    return [this](std::string_view line, std::size_t number, const std::string& place) {
      documents_.push_back(
          {fmt::format("{}:{}", name_, number), tokenizer_.encode(parse_text(line, place))});
    };
  }
  std::vector<Document> documents(const std::string& where) {
    if (documents_.empty()) throw Error(where + ": the file has no documents");
    return std::move(documents_);
  }

 private:
  std::string name_;
  const Tokenizer& tokenizer_;
  std::vector<Document> documents_;
};

std::string shape_name(const std::vector<std::uint64_t>& shape) {
  std::string name = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    name += fmt::format("{}{}", i > 0 ? ", " : "", shape[i]);
  }
  return name + "]";
}

}  // namespace

std::vector<Document> read_text_documents(const std::filesystem::path& path,
                                          const Tokenizer& tokenizer) {
  const std::string text = read_text_file(path);
  if (const auto offset = find_invalid_utf8(text)) fail_utf8(path.string(), *offset, text[*offset]);
  return {Document{path.filename().string(), tokenizer.encode(text)}};
}

std::vector<Document> parse_jsonl_documents(std::string_view contents, const std::string& where,
                                            const std::string& name, const Tokenizer& tokenizer,
                                            std::size_t max_line_bytes) {
  DocumentCollector collector(name, tokenizer);
  for_each_json_line(contents, where, max_line_bytes, collector.reader());
  return collector.documents(where);
}

std::vector<Document> read_jsonl_documents(const std::filesystem::path& path,
                                           const Tokenizer& tokenizer) {
  DocumentCollector collector(path.filename().string(), tokenizer);
  for_each_json_line(path, kMaxJsonLineBytes, collector.reader());
  return collector.documents(path.string());
}

std::vector<Document> read_token_documents(const std::filesystem::path& path, int vocab_size) {
  const NpyIntArray array = read_npy_integers(path);
  const std::string where = path.string();
  if (array.shape.size() != 1 && array.shape.size() != 2) {
    throw Error(fmt::format("{}: token ids must have shape [T] or [documents, T], found {}", where,
                            shape_name(array.shape)));
  }
  if (array.values.empty()) {
    throw Error(
        fmt::format("{}: there are no token ids, the shape is {}", where, shape_name(array.shape)));
  }
  const bool one_document = array.shape.size() == 1;
  const std::size_t length = array.shape.back();
  std::vector<Document> documents;
  for (std::size_t first = 0; first < array.values.size(); first += length) {
    Document document;
    document.name = path.filename().string();
    if (!one_document) document.name += fmt::format(":{}", documents.size());
    document.token_ids.reserve(length);
    for (std::size_t t = 0; t < length; ++t) {
      const std::int64_t id = array.values[first + t];
      if (id < 0 || id >= vocab_size) {
        const std::string position =
            one_document ? fmt::format("[{}]", t) : fmt::format("[{}, {}]", documents.size(), t);
        throw Error(fmt::format("{}: token id {} at {} is outside the vocabulary of {} tokens",
                                where, id, position, vocab_size));
      }
      document.token_ids.push_back(static_cast<std::int32_t>(id));
    }
    documents.push_back(std::move(document));
  }
  return documents;
}

}  // namespace toplens
