#include "checkpoint/tensor_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "support/error_message.h"
#include "support/safetensors_file.h"
#include "support/scratch_directory.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::error_message;
using ::testing::HasSubstr;
using testing::safetensors_bytes;
using testing::ScratchDirectory;
using testing::StoredTensor;
using testing::write_bytes;

StoredTensor tensor(const std::string& name, char fill = 'x') {
  return {name, "F32", {2}, std::string(8, fill)};
}

/// Two shards: a in the first, b in the second.
void write_sharded(const ScratchDirectory& directory) {
  write_bytes(directory / "one.safetensors", safetensors_bytes({tensor("a", 'a')}));
  write_bytes(directory / "two.safetensors", safetensors_bytes({tensor("b", 'b')}));
  write_bytes(directory / "model.safetensors.index.json",
              R"({"metadata": {"total_size": 16},
                  "weight_map": {"b": "two.safetensors", "a": "one.safetensors"}})");
}

std::string message_of(const ScratchDirectory& directory) {
  return error_message([&] { TensorStore store(directory.path()); });
}

TEST(TensorStore, OpensEveryGoldenCheckpoint) {
  ASSERT_EQ(testing::golden_models().size(), 6u);
  for (const auto& model : testing::golden_models()) {
    const TensorStore store(model);
    const bool sharded = model.filename() == "tiny-mistral";
    EXPECT_EQ(store.files().size(), sharded ? 2u : 1u) << model;
    EXPECT_TRUE(store.contains("model.norm.weight")) << model;
  }
  const TensorStore llama(testing::golden_directory() / "tiny-llama");
  const TensorView view = llama.get("model.layers.2.mlp.down_proj.weight", {48, 112});
  EXPECT_EQ(view.type, DataType::f32);
  EXPECT_EQ(view.bytes.size(), 48u * 112 * 4);
  EXPECT_EQ(TensorStore(testing::golden_directory() / "tiny-mistral").total_bytes(), 304000u);
  EXPECT_EQ(
      TensorStore(testing::golden_directory() / "tiny-mistral").get("model.norm.weight", {64}).type,
      DataType::bf16);
}

TEST(TensorStore, FindsTensorsInTheirShards) {
  const ScratchDirectory directory;
  write_sharded(directory);
  // A second copy of the weights that the index does not know, as some repositories have.
  write_bytes(directory / "consolidated.safetensors", "not even a safetensors file");
  const TensorStore store(directory.path());
  EXPECT_THAT(store.names(), ElementsAre("a", "b"));
  EXPECT_EQ(store.file_of("b"), directory / "two.safetensors");
  EXPECT_EQ(store.total_bytes(), 16u);
  EXPECT_FALSE(store.contains("c"));
  EXPECT_EQ(static_cast<char>(store.get("a", {2}).bytes[7]), 'a');
  EXPECT_EQ(static_cast<char>(store.get("b", {2}).bytes[0]), 'b');
}

TEST(TensorStore, MisalignedTensorsAreReadAsTheyLie) {
  const ScratchDirectory directory;
  write_bytes(directory / "model.safetensors",
              safetensors_bytes({{"odd", "U8", {3}, "..."}, {"w", "BF16", {2}, "wxyz"}}));
  const TensorView view = TensorStore(directory.path()).get("w", {2});
  EXPECT_EQ(view.type, DataType::bf16);
}

TEST(TensorStore, GetChecksNameShapeAndDtype) {
  const ScratchDirectory directory;
  write_bytes(directory / "model.safetensors",
              safetensors_bytes({tensor("w"), {"ids", "I64", {1}, std::string(8, '\0')}}));
  const TensorStore store(directory.path());
  EXPECT_THAT(error_message([&] {
                store.get("w", {1, 2});
              }),
              AllOf(HasSubstr("model.safetensors"), HasSubstr("'w'"), HasSubstr("[2]"),
                    HasSubstr("[1, 2]")));
  EXPECT_THAT(error_message([&] { store.get("ids", {1}); }),
              AllOf(HasSubstr("model.safetensors"), HasSubstr("'ids'"), HasSubstr("'I64'"),
                    HasSubstr("F32, F16 or BF16")));
  EXPECT_THAT(error_message([&] { store.get("v", {1}); }),
              AllOf(HasSubstr(directory.path().string()), HasSubstr("'v'"), HasSubstr("missing"),
                    HasSubstr("searched model.safetensors")));
}

TEST(TensorStore, MissingFilesAreNamed) {
  const ScratchDirectory directory;
  EXPECT_THAT(error_message([&] { TensorStore store(directory / "absent"); }),
              AllOf(HasSubstr("absent"), HasSubstr("does not exist")));
  EXPECT_THAT(message_of(directory), AllOf(HasSubstr("model.safetensors.index.json"),
                                           HasSubstr(directory.path().string())));
  write_sharded(directory);
  std::filesystem::remove(directory / "two.safetensors");
  EXPECT_THAT(message_of(directory),
              AllOf(HasSubstr("two.safetensors"), HasSubstr("missing"), HasSubstr("'b'")));
  std::filesystem::create_directory(directory / "two.safetensors");
  EXPECT_THAT(message_of(directory), AllOf(HasSubstr("two.safetensors"), HasSubstr("directory")));
}

TEST(TensorStore, EveryTruncationOfAShardIsAnErrorThatNamesIt) {
  const ScratchDirectory directory;
  write_sharded(directory);
  const std::string whole = safetensors_bytes({tensor("b")});
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write_bytes(directory / "two.safetensors", whole.substr(0, size));
    EXPECT_THAT(message_of(directory), HasSubstr("two.safetensors")) << size;
  }
}

TEST(TensorStore, IndexAndShardsMustAgree) {
  const ScratchDirectory directory;
  write_sharded(directory);
  write_bytes(directory / "two.safetensors", safetensors_bytes({tensor("c")}));
  EXPECT_THAT(message_of(directory),
              AllOf(HasSubstr("two.safetensors"), HasSubstr("'c' is left over")));
  write_bytes(directory / "two.safetensors", safetensors_bytes({tensor("a"), tensor("b")}));
  EXPECT_THAT(message_of(directory), AllOf(HasSubstr("two.safetensors"), HasSubstr("'a'"),
                                           HasSubstr("'one.safetensors'")));
  write_bytes(directory / "two.safetensors", safetensors_bytes(std::vector<StoredTensor>{}));
  EXPECT_THAT(message_of(directory),
              AllOf(HasSubstr("two.safetensors"), HasSubstr("'b'"), HasSubstr("missing")));
  write_bytes(directory / "two.safetensors",
              safetensors_bytes({tensor("b"), tensor("model.rotary_emb.inv_freq")}));
  EXPECT_THAT(TensorStore(directory.path()).names(), ElementsAre("a", "b"));
}

}  // namespace
}  // namespace toplens
