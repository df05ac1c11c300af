#include "cli/analyze.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <new>
#include <optional>

#include <fmt/format.h>
#include <toplens/error.h>

#include "cli/analysis_setup.h"
#include "cli/interrupt.h"
#include "cli/part_runner.h"
#include "cli/pool_parts.h"
#include "cli/rank_texts.h"
#include "cli/rank_work.h"
#include "cli/usage_error.h"
#include "parallel/memory.h"
#include "parallel/work_leader.h"
#include "parallel/work_member.h"
#include "report/report_page.h"
#include "results/run_directory.h"

namespace toplens {
namespace {

class Stopwatch {
 public:
  StageTiming stop(std::string stage) const {
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start_;
    return {std::move(stage), wall.count(), process_cpu_seconds() - start_cpu_};
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double start_cpu_ = process_cpu_seconds();
};

/// Documents of a part: of an existing run as it has them, else so few that every rank gets two.
int documents_per_part(const AnalyzeArguments& arguments, std::size_t documents,
                       std::size_t ranks) {
  if (arguments.resume) {
    const int recorded = RunDirectory::recorded_documents_per_part(arguments.out);
    if (recorded > 0) return recorded;
  }
  if (ranks == 1) return static_cast<int>(kMostDocumentsPerPart);
  return static_cast<int>(
      std::clamp((documents + 2 * ranks - 1) / (2 * ranks), std::size_t{1}, kMostDocumentsPerPart));
}

int num_parts(const RunManifest& manifest) {
  const auto per_part = static_cast<std::size_t>(manifest.documents_per_part);
  return static_cast<int>((manifest.text.windows.size() + per_part - 1) / per_part);
}

/// The parts that are not finished.
std::vector<WorkTask> missing_parts(const RunDirectory& directory, const RunManifest& manifest) {
  const std::vector<int> finished = directory.finished_parts();
  const auto per_part = static_cast<std::uint64_t>(manifest.documents_per_part);
  std::vector<WorkTask> missing;
  for (int part = 0; part < num_parts(manifest); ++part) {
    if (std::binary_search(finished.begin(), finished.end(), part)) continue;
    const std::uint64_t first = static_cast<std::uint64_t>(part) * per_part;
    missing.push_back({part, first, std::min(per_part, manifest.text.windows.size() - first)});
  }
  return missing;
}

/// Ends a pass where another rank failed.
class LeaderProgress : public ProgressListener {
 public:
  LeaderProgress(AnalyzeListener& listener, WorkLeader& leader)
      : listener_(listener), leader_(leader) {}
  void advance(std::uint64_t done, std::uint64_t total) override {
    leader_.check();
    listener_.advance(done, total);
  }

 private:
  AnalyzeListener& listener_;
  WorkLeader& leader_;
};

/// Of ranks that print nothing.
class MemberListener : public AnalyzeListener {
 public:
  void note(const std::string& /*line*/) override {}
  void start(std::uint64_t /*units*/, double /*tokens_per_unit*/) override {}
  void finish_part(std::uint64_t /*units*/) override {}
  void advance(std::uint64_t /*done*/, std::uint64_t /*total*/) override { check_interrupt(); }
};

/// Computes the tasks, or has them computed; returns the layers x documents computed here. Records
/// in the manifest who did what.
std::uint64_t measure(AnalysisSetup& setup, const std::vector<WorkTask>& tasks,
                      RunDirectory& directory, RunManifest& manifest, WorkLeader& leader,
                      AnalyzeListener& listener) {
  const auto layers = static_cast<std::uint64_t>(setup.session().config().num_layers);
  LeaderProgress progress(listener, leader);
  std::map<int, std::filesystem::path> paths;  // the leader may outlive the directory
  for (const WorkTask& task : tasks) paths[task.number] = directory.part_path(task.number);
  leader.offer(tasks, [paths](int part) { return paths.at(part); });
  std::optional<PartRunner> runner;
  const auto tell_received = [&] {
    for (const ReceivedResult& result : leader.received()) {
      listener.finish_part(layers * result.task.count);
    }
  };
  while (const std::optional<WorkTask> task = leader.take()) {
    if (!runner) runner.emplace(setup.session(), setup.plan(), setup.text(), setup.stages());
    directory.write_part(task->number, runner->run(task->first, task->count, progress));
    listener.finish_part(layers * task->count);
    manifest.ranks.front().documents += task->count;
    manifest.peak_anonymous_bytes =
        std::max(manifest.peak_anonymous_bytes.value_or(0), process_memory().anonymous_bytes);
    tell_received();
  }
  const std::vector<std::string> farewells = leader.dismiss([&] {
    tell_received();
    if (!tasks.empty()) listener.advance(0, 1);
  });
  tell_received();
  for (std::size_t i = 0; i < farewells.size(); ++i) {
    add_farewell(farewells[i], manifest.ranks[i + 1]);
  }
  manifest.gathered_bytes = leader.gather_cost().bytes;
  manifest.gather_seconds = leader.gather_cost().seconds;
  return runner ? runner->layer_forwards() : 0;
}

/// The failure of a run whose directory stays, with how to go on.
[[noreturn]] void throw_resumable(const RunDirectory& directory, const Error& failure) {
  const std::size_t kept = directory.finished_parts().size();
  const std::string message = fmt::format(
      "{}; {} finished part{} kept in {}: once the cause is gone, go on with the same command and "
      "--resume",
      failure.what(), kept, kept == 1 ? " is" : "s are", directory.path().string());
  if (dynamic_cast<const UsageError*>(&failure) != nullptr) throw UsageError(message);
  throw Error(message);
}

/// Results, report and the word that the run is complete.
void finish(AnalysisSetup& setup, RunDirectory& directory, const PartsReader& parts,
            RunManifest& manifest, AnalyzeOutcome& outcome) {
  const Stopwatch pooling;
  PooledResults pooled =
      pool_parts(parts, manifest, setup.session().pool(), setup.stages(), directory);
  outcome.summaries = std::move(pooled.summaries);
  outcome.json = std::move(pooled.json);
  outcome.files = std::move(pooled.files);
  outcome.files.emplace_back("run.json", "protocol");
  manifest.timings.push_back(pooling.stop("pool"));
  manifest.peak_resident_bytes = process_memory().peak_resident_bytes;
  manifest.ranks.front().cpu_seconds = process_cpu_seconds();
  manifest.ranks.front().peak_resident_bytes = *manifest.peak_resident_bytes;
  for (const RankRecord& rank : manifest.ranks) manifest.cpu_seconds += rank.cpu_seconds;
  constexpr std::string_view kReport = "report.html";
  directory.complete(manifest, {&kReport, 1});
  check_interrupt();
  write_report({directory.path()}, directory.path() / kReport);
  directory.add_result(std::string(kReport), manifest);
  outcome.files.emplace_back("report.html", "for a browser");
}

AnalyzeOutcome lead(const AnalyzeArguments& arguments, AnalyzeListener& listener, Channel& channel,
                    WorkLeader& leader) {
  const Stopwatch whole;
  AnalysisSetup setup(arguments, listener);
  const auto ranks = static_cast<std::size_t>(channel.size());
  const std::size_t documents = setup.num_documents();
  AnalyzeOutcome outcome;
  RunManifest& manifest = outcome.manifest;
  manifest = setup.manifest();
  manifest.documents_per_part = documents_per_part(arguments, documents, ranks);
  manifest.ranks = meet_members(leader, introduction_text(manifest));
  if (arguments.digest_weights ||
      (arguments.resume && RunDirectory::records_weight_files(arguments.out))) {
    if (arguments.resume) {
      RunDirectory::check_resume(arguments.out, manifest);
    } else {
      RunDirectory::check_create(arguments.out, manifest);
    }
    listener.note("reading all weights once for their SHA-256");
    manifest.model.digests.weight_files = setup.digest_weights();
  }
  RunDirectory directory = arguments.resume ? RunDirectory::resume(arguments.out, manifest)
                                            : RunDirectory::create(arguments.out, manifest);
  const std::vector<WorkTask> tasks = missing_parts(directory, manifest);
  std::size_t remaining = 0;
  for (const WorkTask& task : tasks) remaining += task.count;
  const std::size_t busy = std::min(ranks, tasks.size());
  if (busy < ranks && busy > 0) {
    listener.note(fmt::format("note: {} document{} in {} part{} keep{} {} of {} ranks busy",
                              remaining, remaining == 1 ? "" : "s", tasks.size(),
                              tasks.size() == 1 ? "" : "s", remaining == 1 ? "s" : "", busy,
                              ranks));
  }
  const auto layers = static_cast<std::size_t>(setup.session().config().num_layers);
  if (remaining > 0) {
    listener.note(setup.estimate(remaining, busy));
    listener.start(layers * remaining, static_cast<double>(setup.text().loaded.context_length) /
                                           static_cast<double>(layers));
  }
  manifest.timings.push_back(whole.stop("prepare"));
  const Stopwatch measuring;
  try {
    try {
      outcome.layer_forwards = measure(setup, tasks, directory, manifest, leader, listener);
    } catch (const MemberFailed& failed) {
      throw_failure(failed.failure());
    }
  } catch (const Error& failure) {
    leader.stop();  // no part may arrive while the directory is looked at
    if (!directory.finished_parts().empty()) throw_resumable(directory, failure);
    directory.discard_unstarted();
    throw;
  }
  // The other ranks are free from here on: what follows is work for one.
  channel.close();
  if (remaining > 0) manifest.timings.push_back(measuring.stop("measure"));

  const PartsReader parts = directory.open_parts(num_parts(manifest));
  try {
    finish(setup, directory, parts, manifest, outcome);
  } catch (const Error& failure) {
    throw_resumable(directory, failure);
  }
  return outcome;
}

void assist(const AnalyzeArguments& arguments, WorkMember& member) {
  MemberListener listener;
  AnalysisSetup setup(arguments, listener);
  const RunManifest manifest = setup.manifest();
  member.introduce(introduction_text(manifest));
  std::optional<PartRunner> runner;
  RankRecord record;
  while (const std::optional<WorkTask> task = member.next()) {
    if (!runner) runner.emplace(setup.session(), setup.plan(), setup.text(), setup.stages());
    Dataset part = runner->run(task->first, task->count, listener);
    member.deliver(*task, RunDirectory::part_contents(task->number, std::move(part), manifest));
    record.documents += task->count;
  }
  record.cpu_seconds = process_cpu_seconds();
  record.peak_resident_bytes = process_memory().peak_resident_bytes;
  member.say_farewell(farewell_text(record));
}

}  // namespace

AnalyzeOutcome analyze(const AnalyzeArguments& arguments, AnalyzeListener& listener,
                       Channel& channel) {
  WorkLeader leader(channel);
  try {
    return lead(arguments, listener, channel, leader);
  } catch (const MemberFailed& failed) {
    throw_failure(failed.failure());
  }
}

AnalyzeOutcome analyze(const AnalyzeArguments& arguments, AnalyzeListener& listener) {
  LoneChannel channel;
  return analyze(arguments, listener, channel);
}

void assist_analysis(const AnalyzeArguments& arguments, Channel& channel) {
  assist_rank_0(channel, [&](WorkMember& member) { assist(arguments, member); });
}

}  // namespace toplens
