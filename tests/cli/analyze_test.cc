// The main job as a user runs it, and its library function where a test must count or interrupt.

#include "cli/analyze.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "cli/analysis_setup.h"
#include "cli/rank_texts.h"
#include "cli/usage_error.h"
#include "io/atomic_file.h"
#include "parallel/work_message.h"
#include "results/geometry_dataset.h"
#include "results/netcdf_file.h"
#include "results/theory_part.h"
#include "support/command.h"
#include "support/engine_run.h"
#include "support/golden_records.h"
#include "support/safetensors_writer.h"
#include "support/scratch_directory.h"
#include "support/shared_data.h"
#include "theory/head_fit.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::CommandResult;
using ::testing::HasSubstr;
using testing::run_command;
using testing::ScratchDirectory;

std::string golden(const std::string& name) { return testing::golden_directory() / name; }

/// token ids [documents, length] of random tokens.
void write_documents(const fs::path& path, std::size_t documents, std::size_t length) {
  const std::vector<std::size_t> lengths(documents, length);
  std::vector<std::int32_t> all;
  for (const testing::TokenIds& ids : testing::random_documents(lengths, 320, 77)) {
    all.insert(all.end(), ids.begin(), ids.end());
  }
  testing::write_npy_int32(path, {documents, length}, all);
}

/// Every variable of two geometry files has the same bits, NaN included.
void expect_same_values(const Dataset& a, const Dataset& b) {
  ASSERT_EQ(a.variables().size(), b.variables().size());
  ASSERT_EQ(a.dimensions(), b.dimensions());
  std::size_t compared = 0;
  for (const LabelledArray& variable : a.variables()) {
    const LabelledArray& other = b.variable(variable.name);
    ASSERT_EQ(type_name(variable.values), type_name(other.values));
    std::visit(
        [&](const auto& values) {
          using T = typename std::decay_t<decltype(values)>::value_type;
          const auto& others = std::get<std::vector<T>>(other.values);
          ASSERT_EQ(values.size(), others.size());
          if constexpr (std::is_floating_point_v<T>) {
            ASSERT_EQ(std::memcmp(values.data(), others.data(), values.size() * sizeof(T)), 0)
                << variable.name;
            ++compared;
          } else {
            ASSERT_EQ(values, others) << variable.name;
          }
        },
        variable.values);
  }
  EXPECT_GE(compared, kGeometryMetrics.size());
}

void expect_same_results(const fs::path& a, const fs::path& b) {
  EXPECT_EQ(read_text_file(a / "heads.csv"), read_text_file(b / "heads.csv"));
  expect_same_values(read_netcdf(a / "geometry.nc"), read_netcdf(b / "geometry.nc"));
}

/// Counts, keeps notes, and interrupts where it is told to.
class CountingListener : public AnalyzeListener {
 public:
  struct Stop {};
  int stop_after_parts = -1;

  void note(const std::string& line) override { notes.push_back(line); }
  void start(std::uint64_t units, double) override { units_at_start = units; }
  void finish_part(std::uint64_t units) override {
    finished += units;
    ++parts;
  }
  void advance(std::uint64_t done, std::uint64_t total) override {
    largest_pass = std::max(largest_pass, total);
    if (parts == stop_after_parts && done > 0) throw Stop();
  }

  std::vector<std::string> notes;
  std::uint64_t units_at_start = 0, finished = 0, largest_pass = 0;
  int parts = 0;
};

AnalyzeArguments arguments(const std::string& model, const fs::path& tokens, const fs::path& out) {
  AnalyzeArguments arguments;
  arguments.engine.model = golden(model);
  arguments.engine.compute = "f32";
  arguments.engine.threads = 2;
  arguments.text.tokens = tokens;
  arguments.geometry.set_sizes = {1, 2, 4, 8};
  arguments.geometry.random_repeats = 3;
  arguments.out = out;
  return arguments;
}

class GoldenAnalyze : public ::testing::TestWithParam<fs::path> {};

TEST_P(GoldenAnalyze, OfTheTokensIsTheExpectedGeometry) {
  const fs::path model = GetParam();
  const ScratchDirectory scratch;
  const nlohmann::json expected = testing::expected_json(model).at("geometry");
  const CommandResult result = run_command(
      testing::tool(), {"analyze", model, "--tokens", model / "expected" / "token_ids.npy",
                        "--compute", "f32", "--documents", "1", "--set-sizes",
                        testing::set_sizes(expected), "--out", scratch / "run", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const nlohmann::json json = nlohmann::json::parse(result.out);
  EXPECT_EQ(json.at("documents"), 1);

  const Dataset geometry = read_netcdf(scratch / "run" / "geometry.nc");
  const GeometryView view(geometry);
  const testing::TieRule ties(model);
  const auto position = [](const auto& list, const auto& value) {
    const auto found = std::find(list.begin(), list.end(), value);
    EXPECT_NE(found, list.end());
    return static_cast<std::size_t>(found - list.begin());
  };
  std::size_t near_ties = 0;
  for (const nlohmann::json& record : expected) {
    if (ties.near_tie(record)) {
      ++near_ties;
      continue;
    }
    const std::size_t at =
        view.index(0, record.at("layer").get<std::size_t>(), record.at("head").get<std::size_t>(),
                   position(view.rankings, record.at("ranking").get<std::string>()),
                   position(view.distances, record.at("distance").get<std::string>()),
                   position(view.set_sizes, record.at("set_size").get<int>()));
    EXPECT_FLOAT_EQ(view.precision()[at], record.at("precision").get<float>()) << record;
    EXPECT_FLOAT_EQ(view.recall()[at], record.at("recall").get<float>()) << record;
    EXPECT_FLOAT_EQ(view.f_score()[at], record.at("f_score").get<float>()) << record;
  }
  EXPECT_LT(near_ties, expected.size() / 10);
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenAnalyze, ::testing::ValuesIn(testing::golden_models()),
                         [](const auto& info) {
                           std::string name = info.param.filename().string();
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(Analyze, InversionsAreMeasuredWhereTheyAreAskedFor) {
  const ScratchDirectory scratch;
  const std::string tokens = golden("tiny-llama") + "/expected/token_ids.npy";
  struct Case {
    std::string queries;
    std::vector<std::string> metrics;
    bool expected;
  };
  const std::vector<Case> cases = {{"last", {}, true},
                                   {"all", {}, false},
                                   {"tail:4", {}, false},
                                   {"tail:4", {"--metrics", "f_score,inversions"}, true},
                                   {"last", {"--metrics", "precision"}, false}};
  for (std::size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(i);
    const fs::path out = scratch / std::to_string(i);
    std::vector<std::string> command = {"analyze",     golden("tiny-llama"),
                                        "--tokens",    tokens,
                                        "--documents", "1",
                                        "--set-sizes", "4",
                                        "--queries",   cases[i].queries,
                                        "--out",       out};
    command.insert(command.end(), cases[i].metrics.begin(), cases[i].metrics.end());
    const CommandResult result = run_command(testing::tool(), command);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    const Dataset geometry = read_netcdf(out / "geometry.nc");
    const GeometryView view(geometry);
    for (std::size_t cell = 0; cell < view.f_score().size(); ++cell) {
      ASSERT_FALSE(std::isnan(view.f_score()[cell]));
      const std::size_t ranking =
          cell / (view.distances.size() * view.set_sizes.size()) % view.rankings.size();
      // Of the random control only where the list of metrics says so.
      const bool expected =
          cases[i].expected && (view.rankings[ranking] != "random" || !cases[i].metrics.empty());
      ASSERT_EQ(std::isnan(view.metrics[4][cell]), !expected);
    }
  }
}

TEST(Analyze, ThreadsMakeNoDifference) {
  const ScratchDirectory scratch;
  write_documents(scratch / "ids.npy", 10, 40);
  for (const std::string queries : {"last", "all"}) {
    for (const std::string threads : {"1", "2"}) {
      const CommandResult result = run_command(
          testing::tool(), {"analyze", golden("tiny-gemma2"), "--tokens", scratch / "ids.npy",
                            "--set-sizes", "1,2,4,8,16", "--queries", queries, "--threads", threads,
                            "--out", scratch / (queries + threads)});
      ASSERT_EQ(result.exit_code, 0) << result.err;
    }
    expect_same_results(scratch / (queries + "1"), scratch / (queries + "2"));
  }
}

TEST(Analyze, AMemoryBudgetThatSplitsTheLanesMakesNoDifference) {
  const ScratchDirectory scratch;
  write_documents(scratch / "ids.npy", 11, 96);
  CountingListener together;
  analyze(arguments("tiny-llama3-gqa", scratch / "ids.npy", scratch / "together"), together);
  ASSERT_EQ(together.largest_pass, 2u * 8) << "one part is one pass of 8 documents";

  // The least budget by bisection: nothing is computed where it is too small.
  class Probe : public CountingListener {
   public:
    void start(std::uint64_t, double) override { throw Stop(); }
  };
  std::uint64_t fails = 0, works = std::uint64_t{64} << 20;
  for (int run = 0; works - fails > 256; ++run) {
    AnalyzeArguments probed = arguments("tiny-llama3-gqa", scratch / "ids.npy",
                                        scratch / ("probe" + std::to_string(run)));
    const std::uint64_t middle = fails + (works - fails) / 2;
    probed.engine.memory = std::to_string(middle);
    Probe probe;
    try {
      analyze(probed, probe);
    } catch (const CountingListener::Stop&) {
      works = middle;
    } catch (const Error&) {
      fails = middle;
    }
  }
  AnalyzeArguments tight = arguments("tiny-llama3-gqa", scratch / "ids.npy", scratch / "apart");
  tight.engine.memory = std::to_string(works);
  CountingListener apart;
  const AnalyzeOutcome outcome = analyze(tight, apart);
  EXPECT_EQ(apart.largest_pass, 2u) << "one document at a time";
  EXPECT_EQ(outcome.layer_forwards, 2u * 11);
  expect_same_results(scratch / "together", scratch / "apart");
}

TEST(Analyze, ResumingComputesOnlyWhatIsMissing) {
  const ScratchDirectory scratch;
  write_documents(scratch / "ids.npy", 20, 24);  // parts of 8, 8 and 4 documents
  const std::uint64_t layers = 3;
  CountingListener whole;
  const AnalyzeOutcome uninterrupted =
      analyze(arguments("tiny-llama", scratch / "ids.npy", scratch / "whole"), whole);
  EXPECT_EQ(uninterrupted.layer_forwards, layers * 20);
  EXPECT_EQ(whole.units_at_start, layers * 20);
  EXPECT_EQ(whole.finished, layers * 20);
  EXPECT_EQ(whole.parts, 3);

  AnalyzeArguments resumed = arguments("tiny-llama", scratch / "ids.npy", scratch / "resumed");
  CountingListener interrupting;
  interrupting.stop_after_parts = 1;
  EXPECT_THROW(analyze(resumed, interrupting), CountingListener::Stop);
  EXPECT_FALSE(fs::exists(scratch / "resumed" / "geometry.nc"));
  EXPECT_FALSE(fs::exists(scratch / "resumed" / "heads.csv"));
  // Only the whole part is there, and nothing hidden.
  std::vector<std::string> parts;
  for (const auto& entry : fs::directory_iterator(scratch / "resumed" / "parts")) {
    parts.push_back(entry.path().filename());
  }
  EXPECT_EQ(parts, std::vector<std::string>{"part-0000.nc"});

  CountingListener again;
  EXPECT_THAT(
      [&] { analyze(resumed, again); },
      ::testing::ThrowsMessage<Error>(AllOf(HasSubstr("unfinished"), HasSubstr("--resume"))));
  resumed.resume = true;
  resumed.engine.threads = 1;  // how it is computed may change
  const AnalyzeOutcome outcome = analyze(resumed, again);
  EXPECT_EQ(outcome.layer_forwards, layers * 12);
  EXPECT_EQ(again.units_at_start, layers * 12);
  EXPECT_EQ(again.parts, 2);
  expect_same_results(scratch / "whole", scratch / "resumed");
  const auto run = nlohmann::json::parse(read_text_file(scratch / "resumed" / "run.json"));
  EXPECT_EQ(run.at("status"), "complete");

  // A part that is gone is computed again, alone.
  fs::remove(scratch / "resumed" / "parts" / "part-0001.nc");
  fs::remove(scratch / "resumed" / "heads.csv");
  CountingListener once_more;
  EXPECT_EQ(analyze(resumed, once_more).layer_forwards, layers * 8);
  expect_same_results(scratch / "whole", scratch / "resumed");
  CountingListener nothing;
  EXPECT_EQ(analyze(resumed, nothing).layer_forwards, 0u);
}

/// Rank 0 beside a rank 1 that introduces itself and fails once the run has its first part.
class FailingMember : public Channel {
 public:
  FailingMember(std::string introduction, MemberFailure failure, fs::path first_part)
      : failure_(std::move(failure)), first_part_(std::move(first_part)) {
    messages_.push_back({1, MessageKind::introduction, std::move(introduction)});
  }
  int rank() const override { return 0; }
  int size() const override { return 2; }
  void send(int /*to*/, MessageKind /*kind*/, std::string_view /*bytes*/) override {}
  std::optional<Message> poll() override {
    if (!failed_ && messages_.empty() && fs::exists(first_part_)) {
      failed_ = true;
      return Message{1, MessageKind::failure, encode(failure_)};
    }
    if (messages_.empty()) return std::nullopt;
    Message message = std::move(messages_.back());
    messages_.pop_back();
    return message;
  }
  void close() override {}
  void abandon(int /*exit_code*/) noexcept override {}

 private:
  std::vector<Message> messages_;
  MemberFailure failure_;
  fs::path first_part_;
  bool failed_ = false;
};

// A wrong command line is one on whatever rank it is noticed: exit code 2, and the parts are kept.
TEST(Analyze, AnotherRanksFailureKeepsItsKind) {
  const ScratchDirectory scratch;
  write_documents(scratch / "tokens.npy", 12, 24);
  for (const FailureKind kind : {FailureKind::usage, FailureKind::error}) {
    const fs::path out = scratch / (kind == FailureKind::usage ? "usage" : "error");
    const AnalyzeArguments run = arguments("tiny-llama", scratch / "tokens.npy", out);
    CountingListener listener;
    std::string introduction;
    {
      AnalysisSetup setup(run, listener);
      introduction = introduction_text(setup.manifest());
    }
    FailingMember channel(introduction, {1, kind, "node7", "--text: no such file"},
                          out / "parts/part-0000.nc");
    std::string message;
    bool is_usage = false;
    try {
      analyze(run, listener, channel);
    } catch (const UsageError& error) {
      is_usage = true;
      message = error.what();
    } catch (const Error& error) {
      message = error.what();
    }
    EXPECT_EQ(is_usage, kind == FailureKind::usage);
    EXPECT_THAT(message, AllOf(HasSubstr("rank 1 on node7: --text: no such file; "),
                               HasSubstr("kept in " + out.string()), HasSubstr("--resume")));
    EXPECT_TRUE(fs::exists(out / "parts/part-0000.nc"));
  }
}

TEST(Analyze, ResumingWithOtherSettingsNamesTheFirstThatDiffers) {
  const ScratchDirectory scratch;
  write_documents(scratch / "ids.npy", 2, 24);
  AnalyzeArguments run = arguments("tiny-llama", scratch / "ids.npy", scratch / "run");
  CountingListener listener;
  analyze(run, listener);
  run.resume = true;
  const auto differs_in = [&](const AnalyzeArguments& changed, const std::string& what) {
    EXPECT_THAT([&] { analyze(changed, listener); },
                ::testing::ThrowsMessage<Error>(HasSubstr(what)));
  };
  AnalyzeArguments changed = run;
  changed.geometry.seed = 5;
  differs_in(changed, "seed");
  changed = run;
  changed.geometry.queries = "all";
  differs_in(changed, "queries");
  changed = run;
  changed.engine.model = golden("tiny-llama3-gqa");
  differs_in(changed, "num_layers (3 there, 2 here)");
  testing::copy_checkpoint(golden("tiny-llama"), scratch / "model");
  testing::set_element(scratch / "model", "lm_head.weight", 3, 0.5f);
  changed.engine.model = scratch / "model";
  differs_in(changed, "weights_sample_sha256");
  changed = run;
  write_documents(scratch / "more.npy", 3, 24);
  changed.text.tokens = scratch / "more.npy";
  differs_in(changed, "documents (2 there, 3 here)");
  testing::write_npy_int32(scratch / "other.npy", {2, 24}, std::vector<std::int32_t>(48, 7));
  changed.text.tokens = scratch / "other.npy";
  differs_in(changed, "settings differ in ");
}

TEST(Analyze, SetSizesThatAreNotDefinedHaveOneLineEachAndNoValue) {
  const ScratchDirectory scratch;
  write_documents(scratch / "ids.npy", 1, 30);
  // Layers 0 and 2 see 20 tokens, the others 30.
  const CommandResult result =
      run_command(testing::tool(),
                  {"analyze", golden("tiny-gemma2"), "--tokens", scratch / "ids.npy", "--documents",
                   "1", "--set-sizes", "19,20,29,30,99", "--out", scratch / "run", "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  std::vector<std::string> notes;
  for (const std::string& line : testing::lines(result.err)) {
    if (line.rfind("note: set size", 0) == 0) notes.push_back(line);
  }
  ASSERT_EQ(notes.size(), 4u) << result.err;
  EXPECT_THAT(notes[0], AllOf(HasSubstr("set size 20 "), HasSubstr("20 tokens")));
  EXPECT_THAT(notes[1], AllOf(HasSubstr("set size 29 "), HasSubstr("20 tokens")));
  EXPECT_THAT(notes[2], AllOf(HasSubstr("set size 30 "), HasSubstr("30 tokens")));
  EXPECT_THAT(notes[3], AllOf(HasSubstr("set size 99 "), HasSubstr("30 tokens")));
  const Dataset geometry = read_netcdf(scratch / "run" / "geometry.nc");
  const GeometryView view(geometry);
  for (std::size_t layer = 0; layer < 4; ++layer) {
    const int visible = layer % 2 == 0 ? 20 : 30;
    for (std::size_t n = 0; n < view.set_sizes.size(); ++n) {
      const float value = view.precision()[view.index(0, layer, 1, 0, 0, n)];
      EXPECT_EQ(std::isnan(value), view.set_sizes[n] >= visible) << layer << ' ' << n;
    }
  }
  // What is not defined is null in JSON, not a number.
  const nlohmann::json json = nlohmann::json::parse(result.out);
  for (const nlohmann::json& curve : json.at("curves")) {
    EXPECT_EQ(curve.at("f_score").is_null(), curve.at("set_size") >= 30) << curve;
  }
}

TEST(Analyze, SetSizesAreSorted) {
  const ScratchDirectory scratch;
  write_documents(scratch / "ids.npy", 1, 24);
  const CommandResult result = run_command(
      testing::tool(),
      {"analyze", "--set-sizes", "8,2,4", golden("tiny-llama"), "--tokens", scratch / "ids.npy",
       "--rankings", "attention", "--distances", "euclidean", "--json", "--out", scratch / "run"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  std::vector<int> sizes;
  const auto json = nlohmann::json::parse(result.out);
  for (const auto& curve : json.at("curves")) sizes.push_back(curve.at("set_size"));
  EXPECT_THAT(sizes, ::testing::ElementsAre(2, 4, 8));
}

TEST(Analyze, TheoryFitsAreOfTheRecordsInTheParts) {
  const ScratchDirectory scratch;
  write_documents(scratch / "ids.npy", 17, 24);
  AnalyzeArguments with = arguments("tiny-llama3-gqa", scratch / "ids.npy", scratch / "with");
  with.documents = 17;
  with.theory = "on";
  AnalyzeArguments without = with;
  without.out = scratch / "without";
  without.theory = "off";
  CountingListener listener;
  analyze(with, listener);
  analyze(without, listener);
  EXPECT_FALSE(read_netcdf(scratch / "without" / "heads.nc").has_variable("fit_documents"));
  // The geometry is the same and holds nothing of the records.
  expect_same_values(read_netcdf(scratch / "with" / "geometry.nc"),
                     read_netcdf(scratch / "without" / "geometry.nc"));
  const Dataset heads = read_netcdf(scratch / "with" / "heads.nc");
  const Dataset part = read_netcdf(scratch / "with" / "parts" / "part-0000.nc");
  const std::size_t kv_heads = part.dimension_size("kv_head");
  ASSERT_LT(kv_heads, heads.dimension_size("head"));
  for (const std::int64_t documents : heads.values<std::int64_t>("fit_documents")) {
    EXPECT_EQ(documents, 17);
  }
  // The final query's weights sum to 1, and a mean norm is that of the recorded norms.
  const auto weights = part.values<float>("attention_weight");
  EXPECT_NEAR(std::accumulate(weights.begin(), weights.begin() + 24, 0.0), 1.0, 1e-5);
  double sum = 0.0;
  for (const char* name : {"part-0000.nc", "part-0001.nc", "part-0002.nc"}) {
    const Dataset piece = read_netcdf(scratch / "with" / "parts" / name);
    const auto norms = piece.values<float>("value_norm");
    const std::size_t row = piece.dimension_size("layer") * kv_heads * 24;
    for (std::size_t d = 0; d < piece.dimension_size("document"); ++d) {
      for (std::size_t token = 1; token < 24; ++token) sum += double{norms[d * row + token]};
    }
  }
  EXPECT_NEAR(heads.values<double>("norm_mean")[0] / (sum / (17.0 * 23.0)), 1.0, 1e-6);
}

TEST(Analyze, TheoryIsTheSameFromTheRunAndForLayersTogether) {
  const ScratchDirectory scratch;
  write_documents(scratch / "ids.npy", 9, 24);
  AnalyzeArguments run = arguments("tiny-llama3-gqa", scratch / "ids.npy", scratch / "run");
  run.documents = 9;
  run.measures.measures = "off";  // heads.nc then holds the theory alone, like that of theory
  CountingListener listener;
  const AnalyzeOutcome outcome = analyze(run, listener);
  const CommandResult again = run_command(
      testing::tool(), {"theory", "--from", scratch / "run", "--envelope-documents", "16", "--json",
                        "--out", scratch / "heads.nc", "--threads", "1"});
  ASSERT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(nlohmann::ordered_json::parse(again.out), outcome.json.at("theory"));
  EXPECT_EQ(nlohmann::ordered_json::parse(read_text_file(scratch / "run" / "theory.json")),
            outcome.json.at("theory"));

  // A layer at a time gives what all layers together give, random rankings included.
  const Dataset parts = concatenate_documents(
      std::vector<Dataset>{read_netcdf(scratch / "run" / "parts" / "part-0000.nc"),
                           read_netcdf(scratch / "run" / "parts" / "part-0001.nc")},
      std::vector<std::string>{"first", "second"});
  ThreadPool pool(2);
  const std::vector<HeadFit> fits = fit_heads(theory_records(parts), 2027, pool);
  const Dataset heads = read_netcdf(scratch / "run" / "heads.nc");
  const Dataset from = read_netcdf(scratch / "heads.nc");
  const auto beta = heads.values<double>("residual_beta");
  const std::size_t sizes = heads.dimension_size("set_size");
  const auto rankings = heads.labels<std::string>("ranking");
  std::size_t cell = 0;
  for (const HeadFit& fit : fits) {
    for (std::size_t r = 0; r < rankings.size(); ++r) {
      for (std::size_t n = 0; n < sizes; ++n, ++cell) {
        EXPECT_EQ(beta[cell], fit.residuals[r].sizes[n].competitors.beta) << rankings[r] << n;
      }
    }
  }
  ASSERT_EQ(cell, beta.size());
  expect_same_values(from, heads);
  // What is measured there is the geometry's own mean.
  const Dataset geometry = read_netcdf(scratch / "run" / "geometry.nc");
  const GeometryView view(geometry);
  const std::vector<double> f = mean_over_documents(view, 2, 0, 0, 1);
  const auto measured = heads.values<double>("measured_f_score");
  for (std::size_t head = 0; head < f.size(); ++head) {
    EXPECT_NEAR(measured[head * rankings.size() * sizes + 1], f[head], 1e-6);
  }
}

TEST(Analyze, TheoryIsOfTheFinalQueryWhateverTheGeometryAverages) {
  const ScratchDirectory scratch;
  write_documents(scratch / "ids.npy", 8, 24);
  AnalyzeArguments last = arguments("tiny-mistral", scratch / "ids.npy", scratch / "last");
  last.measures.measures = "off";  // they are of all queries
  AnalyzeArguments all = last;
  all.geometry.queries = "all";
  all.geometry.distances = {"cosine"};
  all.out = scratch / "all";
  CountingListener listener;
  analyze(last, listener);
  analyze(all, listener);
  expect_same_values(read_netcdf(scratch / "last" / "heads.nc"),
                     read_netcdf(scratch / "all" / "heads.nc"));
}

TEST(Analyze, LeavesTheFilesOfTheContract) {
  const ScratchDirectory scratch;
  write_documents(scratch / "ids.npy", 9, 24);
  const CommandResult result =
      run_command(testing::tool(), {"analyze", golden("tiny-qwen2"), "--tokens",
                                    scratch / "ids.npy", "--documents", "9", "--set-sizes", "2,8",
                                    "--queries", "tail:3", "--out", scratch / "deep" / "run"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("heads.csv"));
  const fs::path run = scratch / "deep" / "run";
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(run)) {
    files.push_back(fs::relative(entry.path(), run));
  }
  EXPECT_THAT(files, ::testing::UnorderedElementsAre("run.json", "geometry.nc", "heads.csv",
                                                     "heads.nc", "theory.json", "regimes.json",
                                                     "profiles.nc", "report.html", "parts",
                                                     "parts/part-0000.nc", "parts/part-0001.nc"));
  EXPECT_EQ(testing::lines(read_text_file(run / "heads.csv")).size(), 1u + 2 * 4);
  const auto json = nlohmann::json::parse(read_text_file(run / "run.json"));
  for (const char* key : {"schema_version", "command_line", "timings"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  // The estimate stands before the work: time, memory and disk in one line.
  EXPECT_THAT(testing::lines(result.err)[0],
              AllOf(HasSubstr("9 documents of 24 tokens"), HasSubstr(": "), HasSubstr("of memory"),
                    HasSubstr("on disk")));
}

}  // namespace
}  // namespace toplens
