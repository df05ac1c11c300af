#include "cli/verify.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>
#include <toplens/error.h>

#include "cli/library_versions.h"
#include "cli/run_verification.h"
#include "io/json_text.h"
#include "parallel/memory.h"
#include "results/digest.h"

namespace toplens {

using Json = nlohmann::ordered_json;

std::string first_of(const std::vector<std::string>& sentences, std::size_t most) {
  std::string text;
  for (std::size_t i = 0; i < std::min(most, sentences.size()); ++i) {
    text += (i == 0 ? "" : "; ") + sentences[i];
  }
  if (sentences.size() > most) text += fmt::format("; and {} more", sentences.size() - most);
  return text;
}

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

namespace {

/// "1 part", "2 parts"
std::string count_text(int count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

}  // namespace

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
    progress_.start(check.name);
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
  return {
      CheckStatus::pass,
      fmt::format("complete: {} in {}, started {}, by toplens {} (commit {})",
                  count_text(record.documents, "document"), count_text(record.num_parts(), "part"),
                  record.started, text("version"), text("git_commit").substr(0, 12))};
}

Finding RunVerification::check_files() {
  if (!record_->files) {
    return {CheckStatus::warn,
            "run.json lists no files: an older toplens made the run; the checks below look at what "
            "is in them"};
  }
  for (int part = 0; part < record_->num_parts(); ++part) {
    const std::string name = fmt::format("parts/part-{:04}.nc", part);
    if (record_->files->contains(name)) continue;
    return {
        CheckStatus::fail,
        fmt::format("run.json lists the files without {}: it is not as analyze wrote it", name)};
  }
  std::uint64_t steps = 0;
  for (const auto& [name, file] : *record_->files) steps += digest_steps(file.bytes);
  files_ = compare_files(arguments_.run, *record_->files, step_of(steps));
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
          fmt::format("{} with {}: checksums are right, settings are the run's",
                      count_text(count, "part"), count_text(record_->documents, "document"))};
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

std::vector<CheckResult> verify_run(const VerifyArguments& arguments, VerifyListener& listener) {
  return RunVerification(arguments, listener).run();
}

}  // namespace toplens
