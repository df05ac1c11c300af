#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>

#include <fmt/format.h>
#include <toplens/error.h>

#include "cli/commands.h"
#include "cli/intervention_options.h"
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

std::vector<SizedIntervention> parse_treatments(const Arguments& arguments) {
  if (arguments.set_sizes.empty()) {
    if (!arguments.rankings.empty() || !arguments.rules.empty() ||
        arguments.scopes != std::vector<std::string>{"model"}) {
      throw UsageError("--ranking, --rule and --scope need --set-sizes");
    }
    return {};
  }
  if (arguments.rankings.empty() || arguments.rules.empty()) {
    throw UsageError("--set-sizes needs --ranking and --rule");
  }
  check_set_sizes(arguments.set_sizes);
  std::vector<SizedIntervention> treatments;
  for (const Intervention& intervention :
       combine(parse_list<Ranking>(arguments.rankings, parse_ranking),
               parse_list<RemovalRule>(arguments.rules, parse_removal_rule),
               parse_list<Scope>(arguments.scopes, parse_scope))) {
    for (const int size : arguments.set_sizes) treatments.push_back({intervention, size});
  }
  return treatments;
}

constexpr std::array<const char*, 3> kFiles = {"retrieval.json", "heads.csv", "answers.csv"};

/// Before anything is computed: the directory of --out is there and has none of the files.
void prepare(const std::filesystem::path& directory) {
  for (const char* file : kFiles) {
    if (std::filesystem::exists(directory / file)) {
      throw Error(
          fmt::format("{}: holds {} already; choose another --out", directory.string(), file));
    }
  }
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) {
    throw Error(fmt::format("{}: cannot be made: {}", directory.string(), error.message()));
  }
}

void write_files(const RetrievalReport& report, const std::filesystem::path& directory) {
  write_file_atomically(directory / kFiles[0], retrieval_json(report));
  write_file_atomically(directory / kFiles[1], retrieval_heads_csv(report));
  write_file_atomically(directory / kFiles[2], retrieval_answers_csv(report));
}

void run(const Arguments& arguments) {
  const std::vector<SizedIntervention> treatments = parse_treatments(arguments);
  const PromptTemplate prompt_template =
      from_command_line([&] { return PromptTemplate(arguments.prompt_template); });
  ModelSession session = arguments.engine.open();
  from_command_line([&] {
    for (const SizedIntervention& treatment : treatments) {
      check(treatment.intervention.scope, session.config());
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
  if (!arguments.out.empty()) prepare(arguments.out);
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
  add_list_option(command, "--set-sizes", arguments->set_sizes,
                  "Answer also with the top N tokens alone at every query, as in 4,16,64");
  add_list_option(command, "--ranking", arguments->rankings, kRankingHelp);
  add_list_option(command, "--rule", arguments->rules, kRuleHelp);
  add_list_option(command, "--scope", arguments->scopes, kScopeHelp)->capture_default_str();
  add_seed_option(command, arguments->seed);
  command.add_flag("--json", arguments->json, "One JSON object");
  command
      .add_option("--out", arguments->out,
                  "Directory for retrieval.json, heads.csv (by layer and head) and answers.csv (by "
                  "question): new, or one without these files")
      ->type_name("DIR");
  command.callback([&action, arguments] { action = [arguments] { run(*arguments); }; });
}

}  // namespace toplens
