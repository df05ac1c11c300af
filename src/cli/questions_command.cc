#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>

#include <fmt/format.h>
#include <toplens/error.h>

#include "base/utf8.h"
#include "checkpoint/checkpoint_links.h"
#include "cli/commands.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "cli/usage_error.h"
#include "corpus/babi.h"
#include "corpus/background.h"
#include "corpus/questions.h"
#include "io/atomic_file.h"

namespace toplens {
namespace {

struct Arguments {
  std::string babi, questions;
  std::string background, tokenizer;
  bool follow_links = false;
  int tokens = 0;
  int count = 0;
  std::uint64_t seed = 2027;
  std::string out;
};

std::vector<Question> load(const Arguments& arguments) {
  if (arguments.babi.empty() == arguments.questions.empty()) {
    throw UsageError(fmt::format("{} of --babi and --questions; give exactly one",
                                 arguments.babi.empty() ? "none" : "both"));
  }
  std::vector<Question> questions =
      arguments.babi.empty() ? read_questions(arguments.questions) : read_babi(arguments.babi);
  if (arguments.count > 0 && questions.size() > static_cast<std::size_t>(arguments.count)) {
    questions.resize(static_cast<std::size_t>(arguments.count));
  }
  return questions;
}

std::string read_utf8(const std::string& path) {
  std::string text = read_text_file(path);
  if (const auto offset = find_invalid_utf8(text)) {
    throw Error(fmt::format("{}: invalid UTF-8 at byte {}; the text must be UTF-8", path, *offset));
  }
  return text;
}

void mix(const Arguments& arguments, std::vector<Question>& questions) {
  if (!arguments.follow_links) check_links(arguments.tokenizer);
  const CheckpointTokenizer tokenizer = load_tokenizer(arguments.tokenizer);
  BackgroundMixer mixer(split_sentences(read_utf8(arguments.background)), arguments.background,
                        *tokenizer.tokenizer, arguments.seed);
  const auto wanted = static_cast<std::size_t>(arguments.tokens);
  std::size_t fewest = wanted, most = 0;
  for (std::size_t i = 0; i < questions.size(); ++i) {
    questions[i] = mixer.mix(questions[i], wanted, i);
    const std::size_t tokens = tokenizer.tokenizer->encode(questions[i].context).size();
    fewest = std::min(fewest, tokens);
    most = std::max(most, tokens);
  }
  print_note(
      fmt::format("{} questions, contexts of {} to {} tokens ({} wanted; BOS, question and "
                  "answer come on top)",
                  questions.size(), fewest, most, wanted));
}

void run(const Arguments& arguments) {
  const int mixing = int{!arguments.background.empty()} + int{arguments.tokens > 0} +
                     int{!arguments.tokenizer.empty()};
  if (mixing != 0 && mixing != 3) {
    throw UsageError("--background, --tokens and --tokenizer go together");
  }
  std::vector<Question> questions = load(arguments);
  if (mixing == 3) mix(arguments, questions);
  const std::string text = questions_jsonl(questions);
  if (arguments.out.empty()) return print_output(text);
  write_file_atomically(arguments.out, text);
  print_output(fmt::format("{} questions in {}\n", questions.size(), arguments.out));
}

}  // namespace

void add_questions_command(CLI::App& app, Action& action) {
  const auto arguments = std::make_shared<Arguments>();
  CLI::App& command = *app.add_subcommand(
      "questions", "Make a question file for retrieval: convert bAbI text, add background");
  command
      .add_option("--babi", arguments->babi,
                  "Text in the form of the bAbI tasks; its answers become the candidates")
      ->type_name("FILE");
  command.add_option("--questions", arguments->questions, "A question file to add background to")
      ->type_name("FILE");
  command
      .add_option("--background", arguments->background,
                  "UTF-8 text whose sentences are mixed into the contexts")
      ->type_name("FILE");
  command
      .add_option("--tokens", arguments->tokens,
                  "Tokens of a context with its background, as many as whole sentences give and "
                  "not more")
      ->check(CLI::Range(1, 1 << 30))
      ->type_name("N");
  command
      .add_option("--tokenizer", arguments->tokenizer,
                  "Checkpoint directory or .gguf file whose tokenizer counts the tokens")
      ->type_name("DIR");
  add_follow_links_to(command, arguments->follow_links);
  command.add_option("--count", arguments->count, "The first so many questions; 0: all")
      ->check(CLI::Range(0, 1 << 30))
      ->type_name("K")
      ->capture_default_str();
  command
      .add_option("--seed", arguments->seed,
                  "Draws where the background begins and where the context's sentences stand in it")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command.add_option("--out", arguments->out, "The question file (default: standard output)")
      ->type_name("FILE");
  command.callback([&action, arguments] { action = [arguments] { run(*arguments); }; });
}

}  // namespace toplens
