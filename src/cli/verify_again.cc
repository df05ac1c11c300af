// What `verify` makes anew: from model, text and command line, and from the parts.

#include <algorithm>
#include <numeric>

#include <fmt/format.h>
#include <toplens/error.h>

#include "base/random.h"
#include "checkpoint/checkpoint_links.h"
#include "cli/analyze_options.h"
#include "cli/part_runner.h"
#include "cli/pool_parts.h"
#include "cli/run_verification.h"
#include "cli/verify_results.h"
#include "parallel/memory.h"
#include "tokenizer/tokenizer.h"

namespace toplens {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace {

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

/// Tells of the work of `count` equal passes as of one.
class OneAfterTheOther : public ProgressListener {
 public:
  OneAfterTheOther(ProgressListener& listener, std::size_t count)
      : listener_(listener), count_(count) {}
  void advance(std::uint64_t done, std::uint64_t total) override {
    listener_.advance(finished_ * total + done, count_ * total);
  }
  void finish_one() { ++finished_; }

 private:
  ProgressListener& listener_;
  std::uint64_t count_, finished_ = 0;
};

}  // namespace

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
  if (!arguments_.follow_links) check_links(path);
  const TensorStore tensors(path);
  const CheckpointDigests digests = digest_checkpoint(
      path, tensors.files(), with_tokenizer ? load_tokenizer(path).file : fs::path());
  std::string difference = first_difference(recorded, digests_json(digests));
  std::string whole = "whole weight files were not digested (analyze --digest-weights)";
  if (difference.empty() && !record_->weight_files.empty()) {
    std::uint64_t steps = 0;
    for (const fs::path& file : tensors.files()) steps += digest_steps(fs::file_size(file));
    difference = first_difference(Json(record_->weight_files),
                                  Json(digest_weight_files(tensors.files(), step_of(steps))));
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
  analysis_.engine.follow_links = arguments_.follow_links;
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
  // Texts are made of the datasets: where these are the same, so are those.
  const bool explained = found.texts().empty() || !found.datasets().same();
  if (found.unusable().empty() && explained && !is_too_far(found.datasets(), limit) &&
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
  OneAfterTheOther progress(progress_, documents.size());
  for (const std::size_t document : documents) {
    const auto per_part = static_cast<std::size_t>(record_->documents_per_part);
    const int part = static_cast<int>(document / per_part);
    const bool elsewhere = !environment_difference(parts_->environment(part)).empty();
    Dataset computed;
    try {
      computed = runner.run(document, 1, progress);
      progress.finish_one();
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
  const bool far = !tolerated.structure.empty() || is_too_far(tolerated, limit);
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

}  // namespace toplens
