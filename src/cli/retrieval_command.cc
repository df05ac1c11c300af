#include <algorithm>
#include <filesystem>
#include <memory>

#include <fmt/format.h>
#include <toplens/error.h>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/retrieval_report.h"
#include "cli/terminal.h"
#include "cli/usage_error.h"
#include "io/atomic_file.h"

namespace toplens {
namespace {

struct Arguments {
  EngineArguments engine;
  std::string questions;
  std::string prompt_template = std::string(PromptTemplate::kDefault);
  int count = 0;
  std::vector<int> set_sizes;
  std::vector<std::string> rankings, rules, scopes = {"model"};
  std::uint64_t seed = 2027;
  bool json = false;
  std::string out;
};

std::vector<RetrievalTreatment> parse_treatments(const Arguments& arguments) {
  if (arguments.set_sizes.empty()) {
    if (!arguments.rankings.empty() || !arguments.rules.empty()) {
      throw UsageError("--ranking and --rule need --set-sizes");
    }
    return {};
  }
  if (arguments.rankings.empty() || arguments.rules.empty()) {
    throw UsageError("--set-sizes needs --ranking and --rule");
  }
  std::vector<RetrievalTreatment> treatments;
  for (const std::string& ranking : arguments.rankings) {
    for (const std::string& rule : arguments.rules) {
      for (const std::string& scope : arguments.scopes) {
        for (const int size : arguments.set_sizes) {
          if (size < 1) throw UsageError(fmt::format("--set-sizes: {} is below 1", size));
          treatments.push_back(from_command_line([&] {
            return RetrievalTreatment{parse_ranking(ranking), parse_removal_rule(rule),
                                      parse_scope(scope), size};
          }));
        }
      }
    }
  }
  return treatments;
}

void write_files(const RetrievalReport& report, const std::string& out) {
  const std::filesystem::path directory = out;
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) throw Error(fmt::format("{}: cannot be made: {}", out, error.message()));
  write_file_atomically(directory / "retrieval.json", retrieval_json(report));
  write_file_atomically(directory / "heads.csv", retrieval_heads_csv(report));
  write_file_atomically(directory / "answers.csv", retrieval_answers_csv(report));
}

void run(const Arguments& arguments) {
  const std::vector<RetrievalTreatment> treatments = parse_treatments(arguments);
  const PromptTemplate prompt_template =
      from_command_line([&] { return PromptTemplate(arguments.prompt_template); });
  ModelSession session = arguments.engine.open();
  from_command_line([&] {
    for (const RetrievalTreatment& treatment : treatments) {
      check(treatment.scope, session.config());
    }
  });
  RetrievalReport report;
  report.questions_path = arguments.questions;
  report.prompt_template = arguments.prompt_template;
  report.compute = name(session.compute());
  report.seed = arguments.seed;
  report.questions = read_questions(arguments.questions);
  if (arguments.count > 0 && report.questions.size() > static_cast<std::size_t>(arguments.count)) {
    report.questions.resize(static_cast<std::size_t>(arguments.count));
  }
  const CheckpointTokenizer tokenizer = load_tokenizer(session.model().directory());
  report.bos_id = tokenizer.bos_id;
  std::vector<std::string> names;
  for (const Question& question : report.questions) {
    report.tokens.push_back(
        tokenize_question(question, prompt_template, *tokenizer.tokenizer, tokenizer.bos_id));
    names.push_back(question.name);
  }
  RetrievalRun retrieval(session, report.tokens, names, treatments, arguments.seed);
  const auto layers = static_cast<std::uint64_t>(session.config().num_layers);
  const std::uint64_t units = layers * retrieval.num_lanes();
  TerminalProgress progress(
      units, static_cast<double>(retrieval.num_tokens()) / static_cast<double>(units));
  report.scores =
      retrieval.run(&progress, [&](std::size_t lanes) { progress.finish_batch(layers * lanes); });
  report.summary =
      summarize(report.scores, report.tokens, session.config().num_query_heads, arguments.seed);
  for (const std::string& note : retrieval_notes(report)) print_note(note);
  if (!arguments.out.empty()) write_files(report, arguments.out);
  print_output(arguments.json ? retrieval_json(report) : retrieval_text(report));
}

}  // namespace

void add_retrieval_command(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *app.add_subcommand(
      "retrieval", "Can the model answer from its context, and which heads see the support?");
  arguments->engine.add_to(command);
  command
      .add_option("--questions", arguments->questions,
                  "JSON-lines file with the keys context, question, answer, candidates and, where "
                  "one likes, support_spans ([begin, end] in characters of the context)")
      ->required()
      ->type_name("FILE");
  command
      .add_option("--template", arguments->prompt_template,
                  "The prompt; \\n is a line break. A candidate follows behind one space")
      ->type_name("TEXT")
      ->capture_default_str();
  command.add_option("--count", arguments->count, "The first so many questions; 0: all")
      ->check(CLI::Range(0, 1 << 30))
      ->type_name("K")
      ->capture_default_str();
  const auto list = [&](const char* option, auto& values, const char* help) {
    return command.add_option(option, values, help)
        ->delimiter(',')
        ->allow_extra_args(false)
        ->type_name("LIST");
  };
  list("--set-sizes", arguments->set_sizes,
       "Answer also with the top N tokens alone at every query, as in 4,16,64");
  list("--ranking", arguments->rankings, "attention, contribution, random, positional");
  list("--rule", arguments->rules, "delete (the others' weights become 0), renormalize");
  list("--scope", arguments->scopes, "Where: model, layer:1, head:1.2")->capture_default_str();
  command.add_option("--seed", arguments->seed, "Seed of random rankings and of the bootstrap")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command.add_flag("--json", arguments->json, "One JSON object");
  command
      .add_option("--out", arguments->out,
                  "Directory for retrieval.json, heads.csv (by layer and head) and answers.csv (by "
                  "question)")
      ->type_name("DIR");
  command.callback([&action, arguments] { action = [arguments] { run(*arguments); }; });
}

}  // namespace toplens
