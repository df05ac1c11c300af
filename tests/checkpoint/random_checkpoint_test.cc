#include "checkpoint/random_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "io/atomic_file.h"
#include "io/npy.h"
#include "kernels/convert.h"
#include "model/forward_pass.h"
#include "model/random_model.h"
#include "model/session.h"
#include "parallel/memory.h"
#include "support/error_message.h"
#include "support/scratch_directory.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using testing::error_message;
using ::testing::HasSubstr;
using testing::ScratchDirectory;

constexpr std::array<ShapeChange, 6> kSmall = {{{"num_hidden_layers", 3},
                                                {"hidden_size", 64},
                                                {"intermediate_size", 160},
                                                {"num_attention_heads", 8},
                                                {"head_dim", 16},
                                                {"vocab_size", 5000}}};

RandomCheckpoint small(DataType type = DataType::bf16, std::uint64_t seed = 1) {
  return random_model("llama-2-7b", kSmall, type, seed);
}

void write(const fs::path& directory, const RandomCheckpoint& checkpoint, int threads = 2) {
  ThreadPool pool(threads);
  write_random_checkpoint(directory, checkpoint, pool);
}

std::map<std::string, std::string> contents(const fs::path& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(directory)) {
    files[entry.path().filename()] = read_text_file(entry.path());
  }
  return files;
}

std::vector<float> values_of(const TensorStore& store, const std::string& name,
                             const std::vector<std::uint64_t>& shape) {
  const TensorView tensor = store.get(name, shape);
  std::vector<float> values(tensor.bytes.size() / bytes_per_element(tensor.type));
  convert_to_f32(tensor.bytes.data(), tensor.type, values);
  return values;
}

struct Moments {
  double mean = 0, standard_deviation = 0, kurtosis = 0;
};

Moments moments_of(const std::vector<float>& values) {
  Moments moments;
  const auto n = static_cast<double>(values.size());
  for (const float value : values) moments.mean += value / n;
  double fourth = 0;
  for (const float value : values) {
    const double d = value - moments.mean;
    moments.standard_deviation += d * d / n;
    fourth += d * d * d * d / n;
  }
  moments.kurtosis = fourth / (moments.standard_deviation * moments.standard_deviation);
  moments.standard_deviation = std::sqrt(moments.standard_deviation);
  return moments;
}

TEST(RandomCheckpoint, EveryShapeOpensWithItsPublishedConfiguration) {
  struct Expected {
    const char* shape;
    std::uint64_t parameters;
  };
  // Parameters of the published models.
  for (const Expected& expected :
       {Expected{"LLaMA-2-7B", 6738415616}, {"Mistral-7B", 7241732096}, {"Gemma-7B", 8537680896}}) {
    const RandomCheckpoint whole = random_model(expected.shape, {}, DataType::bf16, 1);
    EXPECT_NEAR(static_cast<double>(disk_bytes(whole)),
                2.0 * static_cast<double>(expected.parameters), 2e5)
        << expected.shape;

    const ScratchDirectory directory;
    const RandomCheckpoint checkpoint = random_model(expected.shape, kSmall, DataType::bf16, 1);
    write(directory.path(), checkpoint);
    const CheckpointModel model(directory.path());
    EXPECT_EQ(model.config().num_layers, 3) << expected.shape;
    EXPECT_EQ(model.config().head_dim, 16) << expected.shape;
    EXPECT_EQ(model.config().vocab_size, 5000) << expected.shape;
  }
}

TEST(RandomCheckpoint, BytesDependOnSeedAndNotOnThreadsOrShards) {
  const ScratchDirectory one, three, other, sharded;
  write(one.path(), small(), 1);
  write(three.path(), small(), 3);
  write(other.path(), small(DataType::bf16, 2), 1);
  EXPECT_EQ(contents(one.path()), contents(three.path()));
  EXPECT_NE(contents(one.path())["model.safetensors"], contents(other.path())["model.safetensors"]);

  RandomCheckpoint in_shards = small();
  in_shards.shard_bytes = 300'000;
  write(sharded.path(), in_shards);
  const TensorStore store(one.path()), shards(sharded.path());
  ASSERT_EQ(store.names(), shards.names());
  for (const RandomTensor& tensor : in_shards.tensors) {
    const TensorView a = store.get(tensor.name, tensor.shape);
    const TensorView b = shards.get(tensor.name, tensor.shape);
    EXPECT_EQ(std::memcmp(a.bytes.data(), b.bytes.data(), a.bytes.size()), 0) << tensor.name;
  }
}

TEST(RandomCheckpoint, ShardsStayBelowTheirSizeAndAreInTheIndex) {
  const ScratchDirectory directory;
  RandomCheckpoint checkpoint = small();
  checkpoint.shard_bytes = 300'000;  // the embedding, 640000 bytes, has a shard alone
  write(directory.path(), checkpoint);
  const TensorStore store(directory.path());
  EXPECT_GT(store.files().size(), 2u);
  for (const fs::path& file : store.files()) {
    const bool alone = file == store.file_of("model.embed_tokens.weight") ||
                       file == store.file_of("lm_head.weight");
    EXPECT_LE(fs::file_size(file), alone ? 641'000u : 305'000u) << file;
  }
  const auto index =
      nlohmann::json::parse(read_text_file(directory / "model.safetensors.index.json"));
  EXPECT_EQ(index["metadata"]["total_size"], store.total_bytes());
  EXPECT_EQ(index["weight_map"].size(), checkpoint.tensors.size());
  std::uint64_t bytes = 0;
  for (const auto& [name, text] : contents(directory.path())) bytes += text.size();
  EXPECT_EQ(bytes, disk_bytes(checkpoint));
}

TEST(RandomCheckpoint, WeightsAreNormalInEveryType) {
  for (const DataType type : {DataType::bf16, DataType::f16, DataType::f32}) {
    const ScratchDirectory directory;
    write(directory.path(), small(type));
    const TensorStore store(directory.path());
    const auto embedding = values_of(store, "model.embed_tokens.weight", {5000, 64});
    const Moments weights = moments_of(embedding);
    // 320000 values: the standard errors are 3.5e-5, 2.5e-5 and 0.009.
    EXPECT_NEAR(weights.mean, 0, 1.8e-4) << name(type);
    EXPECT_NEAR(weights.standard_deviation, 0.02, 1.3e-4) << name(type);
    EXPECT_NEAR(weights.kurtosis, 3, 0.05) << name(type);
    const Moments norm = moments_of(values_of(store, "model.norm.weight", {64}));
    EXPECT_NEAR(norm.mean, 1, 0.0125) << name(type);
    EXPECT_NEAR(norm.standard_deviation, 0.02, 0.009) << name(type);
    // Neighbours, neighbouring blocks and tensors are not the same stream.
    double neighbours = 0, blocks = 0, tensors = 0;
    const auto head = values_of(store, "lm_head.weight", {5000, 64});
    for (std::size_t i = 0; i + 4096 < embedding.size(); ++i) {
      neighbours += embedding[i] * embedding[i + 1];
      blocks += embedding[i] * embedding[i + 4096];
      tensors += embedding[i] * head[i];
    }
    const double scale = 0.0004 * static_cast<double>(embedding.size());
    EXPECT_NEAR(neighbours / scale, 0, 0.01) << name(type);
    EXPECT_NEAR(blocks / scale, 0, 0.01) << name(type);
    EXPECT_NEAR(tensors / scale, 0, 0.01) << name(type);
  }
}

TEST(RandomCheckpoint, TypesRoundTheSameNumbers) {
  const ScratchDirectory f32, f16, bf16;
  write(f32.path(), small(DataType::f32));
  write(f16.path(), small(DataType::f16));
  write(bf16.path(), small(DataType::bf16));
  const std::vector<std::uint64_t> shape = {5000, 64};
  const auto exact = values_of(TensorStore(f32.path()), "lm_head.weight", shape);
  const auto halves = values_of(TensorStore(f16.path()), "lm_head.weight", shape);
  const auto brains = values_of(TensorStore(bf16.path()), "lm_head.weight", shape);
  for (std::size_t i = 0; i < exact.size(); ++i) {
    // Half a unit in the last place; below 2^-14 binary16 has a fixed one.
    ASSERT_LE(std::abs(halves[i] - exact[i]),
              std::max(std::ldexp(std::abs(exact[i]), -11), std::ldexp(1.0f, -25)))
        << i;
    ASSERT_LE(std::abs(brains[i] - exact[i]), std::ldexp(std::abs(exact[i]), -8)) << i;
  }
}

TEST(RandomCheckpoint, ActivationsStayFiniteThrough32Layers) {
  for (const char* shape : {"llama-2-7b", "gemma-7b"}) {
    const ScratchDirectory directory;
    std::array<ShapeChange, 6> deep = kSmall;
    deep[0].value = 32;
    write(directory.path(), random_model(shape, deep, DataType::f16, 1));
    ModelSession session(directory.path(), 1, std::uint64_t{1} << 30, ComputeMode::f32);
    const std::vector<std::int32_t> ids = {1, 17, 4999, 3};
    const std::vector<Lane> lanes = {{ids}};
    const std::vector<std::size_t> lengths = {ids.size()};
    ForwardPass pass(session.model(), session.pool(), session.plan(lengths, {}));
    const HiddenStates hidden = pass.run(lanes, {});  // throws where they are not
    EXPECT_TRUE(all_finite(std::as_const(hidden).lane(0).row(3))) << shape;
  }
}

TEST(RandomCheckpoint, OtherFilesAreWrittenAsTheyAre) {
  const ScratchDirectory directory;
  RandomCheckpoint checkpoint = small();
  const std::vector<std::int32_t> ids = {4, 5, -6, 7, 8, 9};
  checkpoint.other_files.push_back({"tokens.npy", npy_bytes({2, 3}, ids)});
  write(directory.path(), checkpoint);
  const NpyIntArray tokens = read_npy_integers(directory / "tokens.npy");
  EXPECT_THAT(tokens.shape, ElementsAre(2, 3));
  EXPECT_THAT(tokens.values, ElementsAre(4, 5, -6, 7, 8, 9));
}

TEST(RandomCheckpoint, WrongShapesAreErrors) {
  const auto message = [](const char* shape, std::vector<ShapeChange> changes) {
    return error_message([&] { random_model(shape, changes, DataType::bf16, 1); });
  };
  EXPECT_THAT(message("llama-3", {}),
              AllOf(HasSubstr("'llama-3'"), HasSubstr("llama-2-7b, mistral-7b, gemma-7b")));
  EXPECT_THAT(message("llama-2-7b", {{"hidden_size", 100}}), HasSubstr("hidden_size"));
  EXPECT_THAT(message("mistral-7b", {{"num_key_value_heads", 5}}),
              HasSubstr("num_key_value_heads"));
  EXPECT_THAT(message("llama-2-7b", {{"sliding_window", 64}}), HasSubstr("sliding_window"));
}

TEST(RandomCheckpoint, NothingThatIsThereIsTouched) {
  const ScratchDirectory directory;
  write_file_atomically(directory / "notes.txt", "mine");
  EXPECT_THAT(error_message([&] { write(directory.path(), small()); }),
              AllOf(HasSubstr("not empty"), HasSubstr("'notes.txt'")));
  EXPECT_THAT(contents(directory.path()), ElementsAre(::testing::Pair("notes.txt", "mine")));
  EXPECT_THAT(error_message([&] { write(directory / "notes.txt", small()); }),
              HasSubstr("not a directory"));
}

struct Stop {};
class StopAtOnce : public ProgressListener {
 public:
  void advance(std::uint64_t, std::uint64_t) override {
    if (++calls_ == 2) throw Stop();
  }

 private:
  int calls_ = 0;
};

TEST(RandomCheckpoint, AnInterruptedOneLeavesNothing) {
  const ScratchDirectory directory;
  RandomCheckpoint checkpoint = small();
  checkpoint.shard_bytes = 300'000;  // the second shard is interrupted, the first is whole
  ThreadPool pool(1);
  StopAtOnce stop;
  EXPECT_THROW(write_random_checkpoint(directory / "new" / "model", checkpoint, pool, &stop), Stop);
  EXPECT_TRUE(directory.empty());
}

/// Uses up the disk once writing has begun.
class FillDisk : public ProgressListener {
 public:
  explicit FillDisk(fs::path file) : file_(std::move(file)) {}
  void advance(std::uint64_t, std::uint64_t) override {
    std::ofstream stream(file_, std::ios::binary | std::ios::app);
    const std::string block(4096, 'x');
    while (stream.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }

 private:
  fs::path file_;
};

TEST(RandomCheckpoint, FullDiskIsOneErrorAndLeavesNothing) {
  const ScratchDirectory scratch;
  if (::mount("tmpfs", scratch.path().c_str(), "tmpfs", 0, "size=2m") != 0) {
    GTEST_SKIP() << "SKIPPED, no tmpfs can be mounted here: " << std::strerror(errno);
  }
  // Detached also where the test fails.
  struct Unmount {
    fs::path path;
    ~Unmount() { ::umount2(path.c_str(), MNT_DETACH); }
  } const unmount{scratch.path()};
  const fs::path directory = scratch / "model";

  // Seen before writing.
  EXPECT_THAT(error_message([&] { write(directory, small(DataType::f32)); }),
              AllOf(HasSubstr("the disk has 2.0 MiB free"), HasSubstr("needs")));
  EXPECT_TRUE(scratch.empty());

  // Seen while writing: somebody else fills the disk after the first shard.
  RandomCheckpoint checkpoint = small();
  checkpoint.shard_bytes = 300'000;
  ThreadPool pool(1);
  FillDisk fill(scratch / "other");
  EXPECT_THAT(error_message([&] { write_random_checkpoint(directory, checkpoint, pool, &fill); }),
              AllOf(HasSubstr("No space left on device"),
                    HasSubstr("the checkpoint needs " + format_bytes(disk_bytes(checkpoint)))));
  EXPECT_FALSE(fs::exists(directory));
  fs::remove(scratch / "other");
  EXPECT_TRUE(scratch.empty());
}

}  // namespace
}  // namespace toplens
