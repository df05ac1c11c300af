#include "checkpoint/gguf_header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/gguf_types.h"
#include "support/error_message.h"
#include "support/gguf_bytes.h"

namespace toplens {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::error_message;
using testing::GgufBytes;
using ::testing::HasSubstr;
using ::testing::StartsWith;

GgufHeader parse(const std::string& file) {
  return parse_gguf_header(std::as_bytes(std::span(file.data(), file.size())), "m.gguf");
}

std::string message_of(const std::string& file) {
  const std::string message = error_message([&] { parse(file); });
  EXPECT_THAT(message, StartsWith("m.gguf: "));
  return message;
}

GgufBytes small() {
  GgufBytes file;
  file.key("general.architecture", "llama").key("n", 7u).key("eps", 1e-5f).key("yes", true);
  file.texts("names", {"a", "", "\xc3\xa9"}).numbers<float>("scores", GgufBytes::f32, {1.5f, -2});
  file.numbers<std::int32_t>("types", GgufBytes::i32, {3, -1});
  file.tensor("w", {64, 3}, 8, 0).tensor("v", {5}, 0, 224);
  return file;
}

TEST(GgufHeader, ReadsMetadataAndTensors) {
  const std::string file = small().bytes(224 + 20);
  const GgufHeader header = parse(file);
  const GgufMetadata& metadata = header.metadata;
  EXPECT_EQ(metadata.text("general.architecture"), "llama");
  EXPECT_EQ(metadata.integer("n", 0, 10), 7);
  EXPECT_EQ(metadata.number("eps"), 1e-5);  // not the float32's own 9.99999975e-06
  EXPECT_EQ(metadata.number("n"), 7.0);
  EXPECT_TRUE(metadata.boolean("yes", false));
  EXPECT_THAT(metadata.texts("names"), ElementsAre("a", "", "\xc3\xa9"));
  EXPECT_THAT(metadata.floats("scores"), ElementsAre(1.5f, -2.0f));
  EXPECT_THAT(metadata.integers("types"), ElementsAre(3, -1));
  ASSERT_EQ(header.tensors.size(), 2u);
  EXPECT_THAT(header.tensors[0].shape, ElementsAre(3, 64));  // row-major
  EXPECT_EQ(header.tensors[0].type, DataType::q8_0);
  EXPECT_EQ(header.tensors[0].end, 3u * 2 * 34);
  EXPECT_EQ(header.tensors[1].begin, 224u);
  EXPECT_EQ(header.data_offset % 32, 0u);
  EXPECT_EQ(header.data_offset + 244, file.size());
}

TEST(GgufHeader, ValuesOfTheWrongKindAreNamed) {
  const std::string file = small().bytes(244);
  const GgufHeader header = parse(file);
  const GgufMetadata& metadata = header.metadata;
  EXPECT_THAT(error_message([&] { (void)metadata.integer("absent", 0, 1); }),
              "m.gguf: key 'absent' is missing");
  EXPECT_THAT(error_message([&] { (void)metadata.integer("n", 0, 6); }),
              "m.gguf: key 'n' is 7, expected an integer from 0 to 6");
  EXPECT_THAT(error_message([&] { (void)metadata.integer("names", 0, 6); }),
              HasSubstr("'names' is an array of 3, expected an integer"));
  EXPECT_THAT(error_message([&] { (void)metadata.text("yes"); }),
              HasSubstr("'yes' is true, expected a text"));
  EXPECT_THAT(error_message([&] { (void)metadata.floats("types"); }), HasSubstr("float32"));
  EXPECT_THAT(error_message([&] { (void)metadata.integers("scores"); }), HasSubstr("integers"));
  EXPECT_THAT(error_message([&] { (void)metadata.texts("n"); }), HasSubstr("array of texts"));
}

TEST(GgufHeader, EveryTruncationIsAnError) {
  const std::string file = small().bytes(244);
  for (std::size_t size = 0; size < file.size(); ++size) message_of(file.substr(0, size));
  EXPECT_THAT(message_of(file.substr(0, file.size() - 1)),
              AllOf(HasSubstr("tensor 'v'"), HasSubstr("beyond the 243 bytes")));
}

TEST(GgufHeader, OtherFilesAndVersions) {
  GgufBytes file;
  file.magic = "PK\x03\x04";
  EXPECT_THAT(message_of(file.bytes()), HasSubstr("not a GGUF file"));
  file.magic = "GGUF";
  file.version = 2;
  EXPECT_THAT(message_of(file.bytes()), HasSubstr("GGUF version 2, expected 3; convert"));
  file.version = 3u << 24;
  EXPECT_THAT(message_of(file.bytes()), HasSubstr("little-endian"));
}

// Lengths that no file has must be refused before memory is asked for.
TEST(GgufHeader, LengthsAreCheckedAgainstTheFile) {
  for (const std::uint64_t huge : {std::uint64_t{1} << 40, ~std::uint64_t{0}}) {
    GgufBytes file;
    file.num_tensors = huge;
    EXPECT_THAT(message_of(file.bytes(64)), HasSubstr("the number of tensors is"));
    file.num_tensors = 0;
    file.num_keys = huge;
    EXPECT_THAT(message_of(file.bytes(64)), HasSubstr("the number of keys is"));
    const std::string length = GgufBytes::raw(huge);
    EXPECT_THAT(message_of(GgufBytes().key("k", GgufBytes::text, length).bytes(64)),
                AllOf(HasSubstr("key 'k'"), HasSubstr("truncated")));
    for (const GgufBytes::Type type : {GgufBytes::text, GgufBytes::f32, GgufBytes::u64}) {
      const std::string array = GgufBytes::raw<std::uint32_t>(type) + length;
      EXPECT_THAT(message_of(GgufBytes().key("k", GgufBytes::array, array).bytes(64)),
                  HasSubstr("key 'k'"));
    }
  }
  GgufBytes many;
  many.num_keys = 1000;
  EXPECT_THAT(message_of(many.bytes(64)), HasSubstr("key 0"));
}

TEST(GgufHeader, ValuesOfUnknownTypesAndArraysOfArrays) {
  EXPECT_THAT(message_of(GgufBytes().key("k", 13, "").bytes(64)),
              HasSubstr("key 'k' is of type 13, expected 0 to 12"));
  EXPECT_THAT(message_of(GgufBytes().key("k", 9, GgufBytes::raw<std::uint32_t>(9)).bytes(64)),
              HasSubstr("array of arrays"));
  EXPECT_THAT(message_of(GgufBytes().key("k", 1u).key("k", 2u).bytes()),
              HasSubstr("key 'k' occurs twice"));
}

TEST(GgufHeader, TensorsMustLieInTheDataWithoutOverlap) {
  const auto with = [](const std::vector<std::uint64_t>& dimensions, std::uint32_t type,
                       std::uint64_t offset) {
    return GgufBytes().tensor("w", dimensions, type, offset).bytes(64);
  };
  EXPECT_NO_THROW(parse(with({16}, 0, 0)));
  EXPECT_THAT(message_of(with({17}, 0, 0)),
              AllOf(HasSubstr("tensor 'w'"), HasSubstr("bytes 0 to 68 go beyond the 64")));
  EXPECT_THAT(message_of(with({1}, 0, 64)), HasSubstr("beyond"));
  EXPECT_THAT(message_of(with({1}, 0, 8)), HasSubstr("no multiple of the alignment, 32"));
  EXPECT_THAT(message_of(with({1}, 0, ~std::uint64_t{31})), HasSubstr("tensor 'w'"));
  EXPECT_THAT(message_of(with({16}, 0, ~std::uint64_t{31})), HasSubstr("overflow"));
  EXPECT_THAT(message_of(with({std::uint64_t{1} << 32, std::uint64_t{1} << 32}, 0, 0)),
              HasSubstr("more than 2^60"));
  EXPECT_THAT(message_of(with({0}, 0, 0)), HasSubstr("a dimension is 0"));
  EXPECT_THAT(message_of(with({}, 0, 0)), HasSubstr("0 dimensions"));
  EXPECT_THAT(message_of(with({1, 1, 1, 1, 1}, 0, 0)), HasSubstr("5 dimensions"));
  EXPECT_THAT(message_of(with({33}, 8, 0)), HasSubstr("33 elements are no whole blocks of 32"));
  EXPECT_THAT(message_of(with({128, 2}, 12, 0)), HasSubstr("no whole blocks of 256 (Q4_K)"));
  EXPECT_THAT(message_of(GgufBytes().tensor("v", {9}, 0, 0).tensor("w", {1}, 0, 32).bytes(64)),
              HasSubstr("'v' and 'w' overlap"));
  EXPECT_THAT(message_of(GgufBytes().tensor("w", {1}, 0, 0).tensor("w", {1}, 0, 32).bytes(64)),
              HasSubstr("tensor 'w' occurs twice"));
}

// The data begin at the first multiple of the alignment that is not within the head: right behind
// it where its size is one already.
TEST(GgufHeader, DataBeginAtTheNextMultipleForEverySizeOfTheHead) {
  constexpr std::size_t kAlignment = 32, kDataBytes = 64;
  int aligned_already = 0;
  for (std::size_t more = 0; more < kAlignment; ++more) {
    GgufBytes file;
    file.tensor(std::string(1 + more, 'w'), {16}, 0, 0);
    const std::size_t head = file.head().size();
    const GgufHeader header = parse(file.bytes(kDataBytes));
    EXPECT_GE(header.data_offset, head);
    EXPECT_LT(header.data_offset, head + kAlignment);
    EXPECT_EQ(header.data_offset % kAlignment, 0u);
    if (header.data_offset == head) ++aligned_already;
  }
  EXPECT_EQ(aligned_already, 1);
}

TEST(GgufHeader, AlignmentIsAPowerOfTwo) {
  GgufBytes file;
  file.key("general.alignment", 64u).tensor("w", {1}, 0, 64);
  EXPECT_EQ(parse(file.bytes(128, 64)).data_offset % 64, 0u);
  for (const std::uint32_t alignment : {0u, 24u, 1u << 30}) {
    EXPECT_THAT(message_of(GgufBytes().key("general.alignment", alignment).bytes()),
                HasSubstr("general.alignment"));
  }
}

TEST(GgufHeader, UnreadTypesKeepTheirName) {
  const GgufHeader header =
      parse(GgufBytes().tensor("a", {256}, 11, 0).tensor("b", {256}, 99, 0).bytes());
  EXPECT_EQ(header.tensors[0].type, std::nullopt);
  EXPECT_EQ(header.tensors[0].type_name, "Q3_K");
  EXPECT_EQ(header.tensors[1].type_name, "type 99");
}

TEST(GgufTypes, NamesOfTensors) {
  EXPECT_EQ(gguf_tensor_name("model.layers.12.self_attn.q_proj.bias", false), "blk.12.attn_q.bias");
  EXPECT_EQ(gguf_tensor_name("model.layers.0.post_attention_layernorm.weight", false),
            "blk.0.ffn_norm.weight");
  EXPECT_EQ(gguf_tensor_name("model.layers.0.post_attention_layernorm.weight", true),
            "blk.0.post_attention_norm.weight");
  EXPECT_EQ(gguf_tensor_name("lm_head.weight", false), "output.weight");
  EXPECT_EQ(gguf_tensor_name("other", false), "other");
}

}  // namespace
}  // namespace toplens
