#include "cli/verify.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>

#include <fmt/format.h>
#include <toplens/error.h>

#include "base/random.h"
#include "cli/analysis_setup.h"
#include "cli/analyze_options.h"
#include "cli/library_versions.h"
#include "cli/part_runner.h"
#include "cli/pool_parts.h"
#include "cli/verify_results.h"
#include "io/json_text.h"
#include "parallel/memory.h"
#include "results/run_record.h"
#include "tokenizer/tokenizer.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

/// Notes of `analyze` are not repeated.
class QuietListener : public AnalyzeListener {
 public:
  explicit QuietListener(ProgressListener& progress) : progress_(progress) {}
  void note(const std::string& /*line*/) override {}
  void start(std::uint64_t /*units*/, double /*tokens_per_unit*/) override {}
  void finish_part(std::uint64_t /*units*/) override {}
  void advance(std::uint64_t done, std::uint64_t total) override { progress_.advance(done, total); }

 private:
  ProgressListener& progress_;
};

std::string first_of(const std::vector<std::string>& sentences, std::size_t most = 3) {
  std::string text;
  for (std::size_t i = 0; i < std::min(most, sentences.size()); ++i) {
    text += (i == 0 ? "" : "; ") + sentences[i];
  }
  if (sentences.size() > most) text += fmt::format("; and {} more", sentences.size() - most);
  return text;
}

/// For a shell.
std::string command_text(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](unsigned char c) {
      return std::isalnum(c) != 0 ||
             std::string_view("-_./,:=@%+").find(static_cast<char>(c)) != std::string_view::npos;
    });
    text += (text.empty() ? "" : " ") + (plain ? word : in_quotes(word));
  }
  return text;
}

/// `count` of 0 .. total - 1, increasing.
std::vector<std::size_t> sample(std::size_t total, std::size_t count, std::uint64_t seed) {
  std::vector<std::size_t> numbers(total);
  std::iota(numbers.begin(), numbers.end(), std::size_t{0});
  Random random(seed);
  count = std::min(count, total);
  for (std::size_t i = 0; i < count; ++i) {
    std::swap(numbers[i], numbers[i + random.below(total - i)]);
  }
  numbers.resize(count);
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

class RunVerification {
 public:
  RunVerification(const VerifyArguments& arguments, ProgressListener& progress)
      : arguments_(arguments), progress_(progress), listener_(progress) {}

  std::vector<CheckResult> run();

 private:
  struct Check {
    std::string_view name, asks;
    Finding (RunVerification::*judge)();
  };
  static const std::array<Check, 10> kChecks;

  Finding check_record();
  Finding check_files();
  Finding check_other_files();
  Finding check_parts();
  Finding check_environment();
  Finding check_model();
  Finding check_text();
  Finding check_protocol();
  Finding check_tables();
  Finding check_rerun();

  /// Where a file of the run is now.
  fs::path find(const std::string& given, const std::string& recorded) const;
  void set_up(const fs::path& model, const fs::path& text);
  /// Skipped with its reason, where results cannot be made anew.
  std::optional<Finding> missing_for_results() const;
  /// How the process that computed this differs from this one, in words.
  std::string environment_difference(const Json& recorded) const;
  std::function<void()> step() {
    return [this] { progress_.advance(0, 1); };
  }

  const VerifyArguments& arguments_;
  ProgressListener& progress_;
  QuietListener listener_;
  std::optional<RunRecord> record_;
  std::optional<FileDifferences> files_;
  std::optional<PartsReader> parts_;
  AnalyzeArguments analysis_;
  std::unique_ptr<AnalysisSetup> setup_;
  std::string setup_error_;
  Json settings_;  // of setup_
  std::vector<CheckResult> results_;
};

const std::array<RunVerification::Check, 10> RunVerification::kChecks = {{
    {"run", "Is there a complete run?", &RunVerification::check_record},
    {"files", "Are all files as they were written?", &RunVerification::check_files},
    {"other files", "Does the directory hold nothing that the run does not know?",
     &RunVerification::check_other_files},
    {"parts", "Can all parts be read, and do they belong to the run?",
     &RunVerification::check_parts},
    {"environment", "Does the same software on the same processor compute here?",
     &RunVerification::check_environment},
    {"model", "Is the model the one that was measured?", &RunVerification::check_model},
    {"text", "Does the text give the tokens that were measured?", &RunVerification::check_text},
    {"protocol", "Does the recorded command line give the recorded settings?",
     &RunVerification::check_protocol},
    {"tables", "Do the results follow from the parts?", &RunVerification::check_tables},
    {"rerun", "Do model and text give the recorded values again?", &RunVerification::check_rerun},
}};

std::vector<CheckResult> RunVerification::run() {
  for (const Check& check : kChecks) {
    Finding finding{CheckStatus::skipped, "there is no complete run"};
    if (results_.empty() || results_.front().finding.status == CheckStatus::pass) {
      try {
        finding = (this->*check.judge)();
      } catch (const Error& error) {
        finding = {CheckStatus::fail, error.what()};
      }
    }
    results_.push_back({check.name, check.asks, std::move(finding)});
  }
  return results_;
}

Finding RunVerification::check_record() {
  record_ = read_run_record(arguments_.run);
  const RunRecord& record = *record_;
  if (!record.complete) {
    std::vector<std::string> command = record.command_line;
    if (std::find(command.begin(), command.end(), "--resume") == command.end()) {
      command.emplace_back("--resume");
    }
    return {CheckStatus::fail,
            fmt::format("the run of {} is not complete: it goes on or was interrupted; finish it "
                        "with: {}",
                        record.started, command_text(command))};
  }
  const auto text = [&](const char* key) {
    const Json* value = record.environment.is_object() && record.environment.contains(key)
                            ? &record.environment.at(key)
                            : nullptr;
    return value != nullptr && value->is_string() ? value->get<std::string>() : "not recorded";
  };
  return {CheckStatus::pass,
          fmt::format("complete: {} documents in {} parts, started {}, by toplens {} (commit {})",
                      record.documents, record.num_parts(), record.started, text("version"),
                      text("git_commit").substr(0, 12))};
}

Finding RunVerification::check_files() {
  if (!record_->files) {
    return {CheckStatus::warn,
            "run.json lists no files: an older toplens made the run; the checks below look at what "
            "is in them"};
  }
  files_ = compare_files(arguments_.run, *record_->files, step());
  if (files_->changed.empty()) {
    return {CheckStatus::pass, fmt::format("{} files, {}, have the recorded sizes and SHA-256",
                                           record_->files->size(), format_bytes(files_->bytes))};
  }
  return {CheckStatus::fail,
          fmt::format("{}. The run's command with --resume writes results anew from the parts, and "
                      "computes parts that are not there: remove a damaged one first",
                      first_of(files_->changed))};
}

Finding RunVerification::check_other_files() {
  if (!files_) return {CheckStatus::skipped, "run.json lists no files"};
  if (files_->unlisted.empty()) return {CheckStatus::pass, "none"};
  std::vector<std::string> names;
  for (const std::string& name : files_->unlisted) names.push_back(in_quotes(name));
  return {CheckStatus::warn,
          fmt::format("{}: not written by the run, so nothing here vouches for it",
                      first_of(names, 8))};
}

Finding RunVerification::check_parts() {
  PartsReader parts = PartsReader::of_run(arguments_.run);
  const auto per_part = static_cast<std::size_t>(record_->documents_per_part);
  auto remaining = static_cast<std::size_t>(record_->documents);
  for (int part = 0; part < parts.count(); ++part) {
    const std::size_t expected = std::min(per_part, remaining);
    if (parts.documents(part) != expected) {
      return {CheckStatus::fail,
              fmt::format("part {} has {} documents, expected {}; remove it and run again with "
                          "--resume",
                          part, parts.documents(part), expected)};
    }
    remaining -= expected;
  }
  const int count = parts.count();
  parts_ = std::move(parts);
  return {CheckStatus::pass,
          fmt::format("{} parts with {} documents: checksums are right, settings are the run's",
                      count, record_->documents)};
}

std::string RunVerification::environment_difference(const Json& recorded) const {
  RunManifest here;
  here.library_versions = library_versions();
  if (!recorded.is_object()) return "it is not recorded";
  return first_difference(recorded, here.environment());
}

Finding RunVerification::check_environment() {
  std::string difference = environment_difference(record_->environment);
  std::string what = "the results";
  for (int part = 0; parts_ && part < parts_->count(); ++part) {
    const std::string found = environment_difference(parts_->environment(part));
    if (found.empty() || !difference.empty()) continue;
    difference = found;
    what = fmt::format("part {}", part);
  }
  if (difference.empty()) {
    return {CheckStatus::pass,
            "software, processor and instruction sets are those recorded: what is computed again "
            "must be the same bit for bit"};
  }
  return {CheckStatus::warn,
          fmt::format("{} were computed with something else: {}: what is computed again is "
                      "compared within a tolerance",
                      what, difference)};
}

fs::path RunVerification::find(const std::string& given, const std::string& recorded) const {
  if (!given.empty()) return given;
  const fs::path there = record_->working_directory / recorded;  // or `recorded`, if absolute
  std::error_code ignored;
  return fs::exists(there, ignored) ? there : fs::path(recorded);
}

Finding RunVerification::check_model() {
  const fs::path path = find(arguments_.model, record_->model_path);
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    return {CheckStatus::fail,
            fmt::format("{}: is not there; say by --model where the model is now", path.string())};
  }
  const Json recorded = record_->settings.contains("model") ? record_->settings["model"] : Json();
  const bool with_tokenizer = recorded.is_object() && recorded.contains("tokenizer_sha256") &&
                              recorded["tokenizer_sha256"].is_string();
  const TensorStore tensors(path);
  const CheckpointDigests digests = digest_checkpoint(
      path, tensors.files(), with_tokenizer ? load_tokenizer(path).file : fs::path());
  std::string difference = first_difference(recorded, digests_json(digests));
  std::string whole = "whole weight files were not digested (analyze --digest-weights)";
  if (difference.empty() && !record_->weight_files.empty()) {
    difference = first_difference(Json(record_->weight_files),
                                  Json(digest_weight_files(tensors.files(), step())));
    whole = fmt::format("{} weight file{} of {}", record_->weight_files.size(),
                        record_->weight_files.size() == 1 ? "" : "s",
                        format_bytes(tensors.total_bytes()));
  }
  if (!difference.empty()) {
    return {CheckStatus::fail,
            fmt::format("{}: is not the model of the run: digests differ in {}; --model says where "
                        "that model is",
                        path.string(), difference)};
  }
  return {CheckStatus::pass,
          fmt::format("{}: configuration, index{} and samples of the weights have the recorded "
                      "SHA-256; {}",
                      path.string(), with_tokenizer ? ", tokenizer" : "", whole)};
}

void RunVerification::set_up(const fs::path& model, const fs::path& text) {
  analysis_ = parse_analyze_command(record_->command_line);
  analysis_.engine.model = model;
  analysis_.engine.threads = arguments_.threads;
  analysis_.engine.memory = arguments_.memory;
  analysis_.engine.compute = record_->compute;
  for (std::string* file : {&analysis_.text.text, &analysis_.text.jsonl, &analysis_.text.tokens}) {
    if (!file->empty()) *file = text.string();
  }
  // Files of --compare-with keep their names, which stand in the results.
  std::error_code ignored;
  if (fs::is_directory(record_->working_directory, ignored)) {
    analysis_.measures.directory = record_->working_directory;
  }
  setup_ = std::make_unique<AnalysisSetup>(analysis_, listener_);
  settings_ = setup_->manifest().settings();
}

Finding RunVerification::check_text() {
  const fs::path model = find(arguments_.model, record_->model_path);
  const fs::path path = find(arguments_.text, record_->text_path);
  std::error_code ignored;
  if (!fs::exists(model, ignored)) {
    return {CheckStatus::skipped, "tokens and windows need the model"};
  }
  if (!fs::exists(path, ignored)) {
    return {CheckStatus::fail,
            fmt::format("{}: is not there; say by --text where the text is now", path.string())};
  }
  try {
    set_up(model, path);
  } catch (const Error& error) {
    setup_.reset();
    setup_error_ = error.what();
    return {CheckStatus::fail, fmt::format("the run cannot be prepared again: {}", setup_error_)};
  }
  const std::string difference = first_difference(
      record_->settings.contains("text") ? record_->settings["text"] : Json(), settings_["text"]);
  if (!difference.empty()) {
    return {CheckStatus::fail,
            fmt::format("{}: gives other tokens than the run had: {}; --text says where that text "
                        "is",
                        path.string(), difference)};
  }
  return {CheckStatus::pass,
          fmt::format("{}: {} windows of {} tokens have the recorded SHA-256", path.string(),
                      setup_->num_documents(), setup_->text().loaded.context_length)};
}

Finding RunVerification::check_protocol() {
  if (!setup_) return {CheckStatus::skipped, "the run could not be prepared again"};
  Json there = record_->settings, here = settings_;
  for (const char* checked_above : {"model", "text"}) {
    there.erase(checked_above);
    here.erase(checked_above);
  }
  const std::string difference = first_difference(there, here);
  if (difference.empty()) {
    return {CheckStatus::pass, fmt::format("seed {}, {} arithmetic and all other settings",
                                           analysis_.geometry.seed, record_->compute)};
  }
  return {CheckStatus::fail,
          fmt::format("the command line ({}) gives other settings than are recorded: {}",
                      command_text(record_->command_line), difference)};
}

std::optional<Finding> RunVerification::missing_for_results() const {
  if (!parts_) return Finding{CheckStatus::skipped, "the parts cannot be read"};
  if (!setup_) return Finding{CheckStatus::skipped, "the run could not be prepared again"};
  for (const CheckResult& result : results_) {
    if (result.finding.status != CheckStatus::fail) continue;
    if (result.name == "text") return Finding{CheckStatus::skipped, "the text is another"};
    if (result.name == "protocol") return Finding{CheckStatus::skipped, "settings are others"};
  }
  const ModelConfig& config = setup_->session().config();
  const std::size_t layers = parts_->dimension_size("layer"),
                    heads = parts_->dimension_size("head");
  if (layers != static_cast<std::size_t>(config.num_layers) ||
      heads != static_cast<std::size_t>(config.num_query_heads)) {
    return Finding{CheckStatus::fail,
                   fmt::format("the parts have {} layers of {} heads, the model {} of {}", layers,
                               heads, config.num_layers, config.num_query_heads)};
  }
  return std::nullopt;
}

Finding RunVerification::check_tables() {
  if (std::optional<Finding> missing = missing_for_results()) return *missing;
  ResultComparison found(arguments_.run);
  pool_parts(*parts_, setup_->manifest(), setup_->session().pool(), setup_->stages(), found);
  std::string names;
  for (const std::string& file : found.files()) names += (names.empty() ? "" : ", ") + file;
  if (found.same()) {
    return {
        CheckStatus::pass,
        fmt::format("{} made again from the parts: the same values, texts byte for byte", names)};
  }
  std::vector<std::string> differences = found.unusable();
  differences.insert(differences.end(), found.texts().begin(), found.texts().end());
  if (!found.datasets().same()) differences.push_back(describe(found.datasets()));
  const double limit = most_far_values(record_->compute);
  if (found.unusable().empty() && found.datasets().far_share <= limit &&
      !environment_difference(record_->environment).empty()) {
    return {CheckStatus::warn,
            fmt::format("made again from the parts, results differ as another computer's may: {}",
                        first_of(differences))};
  }
  return {CheckStatus::fail,
          fmt::format("{}. The results do not follow from the parts: the run's command with "
                      "--resume writes them anew",
                      first_of(differences))};
}

Finding RunVerification::check_rerun() {
  if (arguments_.documents == 0) return {CheckStatus::skipped, "--documents 0"};
  if (std::optional<Finding> missing = missing_for_results()) return *missing;
  const std::vector<std::size_t> documents = sample(
      setup_->num_documents(), static_cast<std::size_t>(arguments_.documents), arguments_.seed);
  PartRunner runner(setup_->session(), setup_->plan(), setup_->text(), setup_->stages());
  DatasetDifference exact, tolerated;  // of documents computed as here, and otherwise
  for (const std::size_t document : documents) {
    const auto per_part = static_cast<std::size_t>(record_->documents_per_part);
    const int part = static_cast<int>(document / per_part);
    const bool elsewhere = !environment_difference(parts_->environment(part)).empty();
    Dataset computed;
    try {
      computed = runner.run(document, 1, listener_);
    } catch (const Error& error) {
      if (!elsewhere) throw;
      return {CheckStatus::warn, fmt::format("cannot be computed here: {}", error.what())};
    }
    DatasetDifference found =
        compare_datasets(parts_->read_documents(part, document % per_part, 1), computed);
    if (found.largest) {
      found.largest->variable += fmt::format(" of document {}", document);
    }
    merge(elsewhere ? tolerated : exact, found);
  }
  const std::string which = fmt::format("document{} {} of {}", documents.size() == 1 ? "" : "s",
                                        fmt::join(documents, ", "), setup_->num_documents());
  const double limit = most_far_values(record_->compute);
  const bool far = !tolerated.structure.empty() || tolerated.far_share > limit;
  if (!exact.same() || far) {
    return {CheckStatus::fail,
            fmt::format("{}: {}{}. Model, text or parts are not those of the run", which,
                        describe(exact.same() ? tolerated : exact),
                        exact.same() ? fmt::format(", {:.2g} % of {} by more than 2 % of its root "
                                                   "mean square (expected at most {:g} %)",
                                                   100.0 * tolerated.far_share,
                                                   tolerated.far_variable, 100.0 * limit)
                                     : "")};
  }
  if (tolerated.same()) {
    return {CheckStatus::pass, fmt::format("{}: {} values, all bit for bit as recorded", which,
                                           exact.values + tolerated.values)};
  }
  return {CheckStatus::pass,
          fmt::format("{}: {}; at most {:.2g} % of a variable ({}) by more than 2 % of its root "
                      "mean square (expected at most {:g} % of a {} run elsewhere)",
                      which, describe(tolerated), 100.0 * tolerated.far_share,
                      tolerated.far_variable, 100.0 * limit, record_->compute)};
}

}  // namespace

std::vector<CheckResult> verify_run(const VerifyArguments& arguments, ProgressListener& progress) {
  return RunVerification(arguments, progress).run();
}

}  // namespace toplens
