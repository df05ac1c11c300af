#include "results/run_manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "parallel/memory.h"
#include "results/temporary_directory.h"
#include "support/shared_data.h"

namespace toplens {
namespace {

using testing::error_of;
using ::testing::HasSubstr;
using testing::TemporaryDirectory;

RunManifest example() {
  RunManifest manifest;
  manifest.model.config.architecture = "LlamaForCausalLM";
  manifest.model.config.num_layers = 4;
  manifest.model.digests = {"c", "i", "t", "w"};
  manifest.text.tokens_sha256 = "abc";
  manifest.text.windows = {{"a.txt", 0, 64}, {"a.txt", 63, 64}};
  manifest.protocol.set_sizes = {1, 2, 4};
  manifest.protocol.rankings = {"attention"};
  manifest.protocol.distances = {"euclidean"};
  manifest.protocol.queries = "last";
  manifest.protocol.random_repeats = 16;
  manifest.protocol.seed = 2027;
  manifest.protocol.compute = "f32";
  return manifest;
}

TEST(Digest, MatchesPublishedVectors) {
  // FIPS 180-2, appendix B.
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 pieces;
  pieces.update(std::string_view("a"));
  pieces.update(std::string_view("bc"));
  EXPECT_EQ(pieces.finish(), sha256("abc"));
}

TEST(Digest, WindowBordersCount) {
  const auto of = [](std::vector<std::vector<std::int32_t>> windows) {
    return digest_token_ids(windows);
  };
  EXPECT_EQ(of({{1, 2}, {3}}), of({{1, 2}, {3}}));
  EXPECT_NE(of({{1, 2}, {3}}), of({{1}, {2, 3}}));
}

TEST(Digest, OneWeightTellsCheckpointsApart) {
  TemporaryDirectory directory;
  const auto source = testing::golden_directory() / "tiny-llama";
  for (const char* name : {"config.json", "model.safetensors"})
    std::filesystem::copy_file(source / name, directory.path() / name);
  const std::vector<std::filesystem::path> weights = {directory.path() / "model.safetensors"};
  const auto digests = [&] { return digest_checkpoint(directory.path(), weights, ""); };
  const CheckpointDigests before = digests();
  EXPECT_EQ(before.tokenizer, "");
  {
    std::fstream file(weights[0], std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-1, std::ios::end);
    file.put('\x7f');
  }
  const CheckpointDigests after = digests();
  EXPECT_EQ(before.config, after.config);
  EXPECT_EQ(before.index, after.index);
  EXPECT_NE(before.weights_sample, after.weights_sample);
  EXPECT_EQ(error_of([&] { digest_checkpoint(directory.path(), weights, "absent.model"); }),
            "absent.model: cannot read: No such file or directory");
}

TEST(Digest, HeaderLongerThanTheFileIsAnError) {
  TemporaryDirectory directory;
  std::ofstream(directory.path() / "config.json") << "{}";
  std::ofstream(directory.path() / "model.safetensors") << "\xff\xff\xff\xff\xff\xff\xff\x7f{}";
  EXPECT_THAT(error_of([&] { digest_checkpoint(directory.path(), {}, ""); }),
              HasSubstr("safetensors header is longer than the file"));
}

TEST(RunManifest, RecordsWhatWasRun) {
  RunManifest manifest = example();
  manifest.command_line = {"toplens", "analyze", "model"};
  manifest.timings = {{"forward", 1.5}, {"pool", 0.25}};
  manifest.peak_resident_bytes = process_memory().peak_resident_bytes;
  manifest.library_versions = {{"oneDNN", "2.6.3"}};
  const auto json = nlohmann::ordered_json::parse(manifest.to_json().dump());
  EXPECT_EQ(json["schema_version"], 1);
  EXPECT_EQ(json["status"], "running");
  EXPECT_EQ(json["toplens"]["libraries"]["oneDNN"], "2.6.3");
  EXPECT_FALSE(json["toplens"]["version"].get<std::string>().empty());
  EXPECT_EQ(json["settings"], manifest.settings());
  EXPECT_EQ(json["text"]["windows"][1]["first_token"], 63);
  EXPECT_EQ(json["timings"]["total_wall_seconds"], 1.75);
  EXPECT_GT(json["peak_memory_bytes"]["resident"].get<std::uint64_t>(), 1000000u);
  EXPECT_TRUE(json["peak_memory_bytes"]["anonymous"].is_null());
  EXPECT_TRUE(json["text"]["bos_id"].is_null());
  EXPECT_TRUE(json["toplens"]["cpu"]["features"].is_array());
  EXPECT_FALSE(json["toplens"]["matrix_products"].get<std::string>().empty());
  EXPECT_TRUE(json["working_directory"].is_null());
  EXPECT_TRUE(json["model"]["weights_sha256"].is_null());
  EXPECT_FALSE(json.contains("files"));  // the run is not complete
}

TEST(RunManifest, WholeWeightFilesAreNoSetting) {
  RunManifest manifest = example();
  const auto settings = manifest.settings();
  manifest.model.digests.weight_files = {{"model.safetensors", "abc"}};
  EXPECT_EQ(manifest.settings(), settings);
  EXPECT_EQ(manifest.to_json()["model"]["weights_sha256"]["model.safetensors"], "abc");
  EXPECT_EQ(manifest.to_json()["model"]["weights_sample_sha256"], "w");
}

TEST(RunManifest, DescribesTheWindowsUsed) {
  const std::vector<Document> documents = {{"a.txt", {}}, {"b.txt", {}}};
  const std::vector<TokenWindow> used = {{{1, 5, 6}, 1, 2, true}, {{1, 7}, 0, 0, true}};
  const TextRecord text = describe_text(documents, used, 9);
  EXPECT_EQ(text.windows_available, 9u);
  EXPECT_EQ(text.context_length, 3);
  EXPECT_EQ(window_label(text.windows[0]), "b.txt@2");
  EXPECT_EQ(text.windows[1].num_tokens, 2u);
  EXPECT_EQ(text.tokens_sha256,
            digest_token_ids(std::vector<std::vector<std::int32_t>>{{1, 5, 6}, {1, 7}}));
}

TEST(RunManifest, SettingsIgnoreWhatDoesNotChangeResults) {
  const RunManifest base = example();
  RunManifest same = base;
  same.threads = 7;
  same.memory_budget_bytes = 1;
  same.model.path = "/elsewhere";
  same.text.path = "moved.txt";
  same.complete = true;
  EXPECT_EQ(first_difference(base.settings(), same.settings()), "");
}

TEST(RunManifest, FirstDifferenceNamesKeyAndBothValues) {
  const RunManifest there = example();
  RunManifest here = there;
  here.protocol.set_sizes = {1, 2};
  here.protocol.seed = 5;
  EXPECT_EQ(first_difference(there.settings(), here.settings()),
            "protocol.set_sizes ([1,2,4] there, [1,2] here)");
  here = there;
  here.model.digests.weights_sample = "x";
  EXPECT_EQ(first_difference(there.settings(), here.settings()),
            "model.weights_sample_sha256 (\"w\" there, \"x\" here)");
  auto more = there.settings();
  more["protocol"]["weights"] = "profile";
  EXPECT_EQ(first_difference(there.settings(), more),
            "protocol.weights (absent there, \"profile\" here)");
  EXPECT_EQ(first_difference(more, there.settings()),
            "protocol.weights (\"profile\" there, absent here)");
}

TEST(RunManifest, EveryProtocolFieldIsASetting) {
  const RunManifest base = example();
  const auto differs = [&](const auto& change) {
    RunManifest other = base;
    change(other);
    return !first_difference(base.settings(), other.settings()).empty();
  };
  EXPECT_TRUE(differs([](RunManifest& m) { m.protocol.rankings = {"random"}; }));
  EXPECT_TRUE(differs([](RunManifest& m) { m.protocol.distances = {"cosine"}; }));
  EXPECT_TRUE(differs([](RunManifest& m) { m.protocol.metrics = {"f_score"}; }));
  EXPECT_TRUE(differs([](RunManifest& m) { m.protocol.queries = "all"; }));
  EXPECT_TRUE(differs([](RunManifest& m) { m.protocol.random_repeats = 1; }));
  EXPECT_TRUE(differs([](RunManifest& m) { m.protocol.random_at_all_queries = true; }));
  EXPECT_TRUE(differs([](RunManifest& m) { m.protocol.random_inversions = true; }));
  EXPECT_TRUE(differs([](RunManifest& m) { m.protocol.theory = true; }));
  EXPECT_TRUE(differs([](RunManifest& m) { m.protocol.seed = 1; }));
  EXPECT_TRUE(differs([](RunManifest& m) { m.protocol.compute = "bf16"; }));
  EXPECT_TRUE(differs([](RunManifest& m) { m.text.tokens_sha256 = "z"; }));
  EXPECT_TRUE(differs([](RunManifest& m) { m.model.digests.config = "z"; }));
  EXPECT_TRUE(differs([](RunManifest& m) { m.model.digests.tokenizer = "z"; }));
}

}  // namespace
}  // namespace toplens
