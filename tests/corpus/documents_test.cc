#include "corpus/documents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "support/error_message.h"
#include "support/scratch_directory.h"

namespace toplens {
namespace {

using ::testing::AllOf;
using testing::error_message;
using ::testing::HasSubstr;
using Ids = std::vector<std::int32_t>;

/// A token for each byte.
class ByteTokenizer : public Tokenizer {
 public:
  Ids encode(std::string_view text) const override {
    Ids ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string decode(std::span<const std::int32_t>) const override { return ""; }
  std::string piece(std::int32_t) const override { return ""; }
  int vocab_size() const override { return 256; }
  std::string description() const override { return "bytes"; }
};

class DocumentsTest : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& name, const std::string& contents) const {
    std::ofstream(directory_ / name, std::ios::binary) << contents;
    return directory_ / name;
  }
  std::filesystem::path write_ids(const std::vector<std::int32_t>& ids,
                                  const std::string& shape) const {
    std::string header = "{'descr': '<i4', 'fortran_order': False, 'shape': " + shape + ", }";
    header.resize(117, ' ');
    header += '\n';
    std::string file("\x93NUMPY\x01\x00\x76\x00", 10);
    file += header;
    file.append(reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(std::int32_t));
    return write("ids.npy", file);
  }

  testing::ScratchDirectory directory_;
  ByteTokenizer tokenizer_;
};

TEST_F(DocumentsTest, TextIsReadVerbatim) {
  const auto documents = read_text_documents(write("a.txt", "\xef\xbb\xbf\r\nx\n"), tokenizer_);
  ASSERT_EQ(documents.size(), 1u);
  EXPECT_EQ(documents[0].name, "a.txt");
  EXPECT_EQ(documents[0].token_ids, (Ids{0xef, 0xbb, 0xbf, '\r', '\n', 'x', '\n'}));
}

TEST_F(DocumentsTest, InvalidUtf8NamesTheByte) {
  for (const char* bad : {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82"}) {
    EXPECT_THAT(error_message([&] {
                  read_text_documents(write("a.txt", "abcé" + std::string(bad)), tokenizer_);
                }),
                AllOf(HasSubstr("a.txt"), HasSubstr("at byte 5 ")));
  }
}

TEST_F(DocumentsTest, JsonLines) {
  const auto documents = read_jsonl_documents(
      write("p.jsonl", "{\"text\": \"a\\u00e9\", \"id\": 1}\r\n{\"text\": \"\"}\n\n \n"),
      tokenizer_);
  ASSERT_EQ(documents.size(), 2u);
  EXPECT_EQ(documents[0].name, "p.jsonl:1");
  EXPECT_EQ(documents[0].token_ids, (Ids{'a', 0xc3, 0xa9}));
  EXPECT_EQ(documents[1].token_ids, Ids{});
}

TEST_F(DocumentsTest, JsonLineErrorsNameTheLine) {
  const auto message = [&](const std::string& second) {
    return error_message([&] {
      parse_jsonl_documents("{\"text\": \"a\"}\n" + second, "p.jsonl", "p.jsonl", tokenizer_, 40);
    });
  };
  EXPECT_THAT(message("{\"text\": "), HasSubstr("p.jsonl: line 2: "));
  EXPECT_THAT(message("{\"body\": \"b\"}"), HasSubstr("line 2: the object has no key 'text'"));
  EXPECT_THAT(message("{\"text\": 7}"), HasSubstr("line 2: 'text' must be a string, found number"));
  EXPECT_THAT(message("[1]"), HasSubstr("line 2: found array"));
  EXPECT_THAT(message("\n{\"text\": \"b\"}"), HasSubstr("line 2 is blank"));
  EXPECT_THAT(message("{\"text\": \"\xff\"}"), HasSubstr("line 2: invalid UTF-8 at byte 10 "));
  EXPECT_THAT(message("{\"text\": \"" + std::string(40, 'x') + "\"}"),
              HasSubstr("line 2: the line has more than 40 bytes"));
  const std::string longest = "{\"text\": \"" + std::string(28, 'x') + "\"}";  // 40 bytes
  EXPECT_NO_THROW(parse_jsonl_documents(longest, "p", "p", tokenizer_, longest.size()));
  EXPECT_THAT(error_message([&] { parse_jsonl_documents("\n", "p", "p", tokenizer_); }),
              HasSubstr("no documents"));
}

TEST_F(DocumentsTest, TokenIds) {
  auto documents = read_token_documents(write_ids({1, 2, 3, 4}, "(4,)"), 5);
  ASSERT_EQ(documents.size(), 1u);
  EXPECT_EQ(documents[0].token_ids, (Ids{1, 2, 3, 4}));
  documents = read_token_documents(write_ids({1, 2, 3, 4}, "(2, 2)"), 5);
  ASSERT_EQ(documents.size(), 2u);
  EXPECT_EQ(documents[1].token_ids, (Ids{3, 4}));
  EXPECT_EQ(documents[1].name, "ids.npy:1");
}

TEST_F(DocumentsTest, TokenIdsOutsideTheVocabulary) {
  EXPECT_THAT(error_message([&] {
                read_token_documents(write_ids({1, 2, 3, 5}, "(2, 2)"), 5);
              }),
              HasSubstr("token id 5 at [1, 1] is outside the vocabulary of 5 tokens"));
  EXPECT_THAT(error_message([&] {
                read_token_documents(write_ids({1, -2}, "(2,)"), 5);
              }),
              HasSubstr("token id -2 at [1]"));
  EXPECT_THAT(error_message([&] {
                read_token_documents(write_ids({1, 2}, "(1, 1, 2)"), 5);
              }),
              HasSubstr("found [1, 1, 2]"));
  EXPECT_THAT(error_message([&] { read_token_documents(write_ids({}, "(0, 4)"), 5); }),
              HasSubstr("no token ids"));
}

}  // namespace
}  // namespace toplens
