#include "cli/retrieval_report.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "io/json_text.h"

namespace toplens {
namespace {

constexpr const char* kOneQuestion = "one question: no interval";

struct Measure {
  const char* name;
  MeanOverQuestions SupportMeans::*value;
};
constexpr std::array<Measure, 3> kMeasures = {{
    {"support_mass", &SupportMeans::mass},
    {"support_displacement", &SupportMeans::displacement},
    {"support_recall_64", &SupportMeans::recall},
}};

std::string csv_text(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == text.npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + '"';
}

std::string label(const std::optional<SizedIntervention>& treatment) {
  if (!treatment) return "untreated";
  return fmt::format("{}, {}, {}, N = {}", name(treatment->intervention.ranking),
                     name(treatment->intervention.rule), name(treatment->intervention.scope),
                     treatment->set_size);
}

std::string interval_text(const std::optional<Interval>& interval, int digits) {
  if (!interval) return "";
  return fmt::format("[{:.{}f}, {:.{}f}]", interval->low, digits, interval->high, digits);
}

/// Candidates that share their first token, with how many questions they do so in.
std::map<std::string, std::size_t> shared_candidates(const RetrievalReport& report) {
  std::map<std::string, std::size_t> counts;
  for (std::size_t i = 0; i < report.tokens.size(); ++i) {
    std::string names;
    for (const std::size_t c : report.tokens[i].shared_first_token) {
      names += (names.empty() ? "" : ", ") + report.questions[i].candidates[c];
    }
    if (!names.empty()) ++counts[names];
  }
  return counts;
}

std::size_t scored_by_continuation(const RetrievalReport& report) {
  return static_cast<std::size_t>(std::count_if(
      report.tokens.begin(), report.tokens.end(),
      [](const QuestionTokens& tokens) { return !tokens.shared_first_token.empty(); }));
}

/// Why a question has no support.
std::string no_support(const RetrievalReport& report, std::size_t question) {
  const QuestionTokens& tokens = report.tokens[question];
  if (tokens.no_support_detail.empty()) return tokens.no_support_reason;
  return tokens.no_support_reason + ": " + tokens.no_support_detail;
}

const char* scoring_name(const QuestionTokens& tokens) {
  return tokens.shared_first_token.empty() ? "first_token" : "mean_log_probability";
}

std::string plural(std::size_t count) {
  return fmt::format("{} question{}", count, count == 1 ? "" : "s");
}

std::string answers_table(const RetrievalSummary& summary) {
  std::size_t width = 14;
  for (const AnswerSummary& answers : summary.answers) {
    width = std::max(width, label(answers.treatment).size());
  }
  std::string text =
      fmt::format("{:<{}}  {:>8}  {:<14}  {:>9}  {:<18}  {:>9}  {}\n", "", width, "accuracy",
                  "95 % (Wilson)", "loss/nats", "95 %", "increase", "95 %");
  for (const AnswerSummary& answers : summary.answers) {
    text += fmt::format("{:<{}}  {:>8.3f}  {:<14}  {:>9.4f}  {:<18}", label(answers.treatment),
                        width, answers.accuracy, interval_text(answers.accuracy_interval, 3),
                        answers.loss_nats.value, interval_text(answers.loss_nats.interval, 4));
    if (answers.loss_increase_nats) {
      text += fmt::format("  {:>9.4f}  {}", answers.loss_increase_nats->value,
                          interval_text(answers.loss_increase_nats->interval, 4));
    }
    text.erase(text.find_last_not_of(' ') + 1);
    text += '\n';
  }
  return text + fmt::format("{:<{}}  {:>8.3f}  {:<14}  {:>9.4f}\n", "uniform choice", width,
                            summary.chance_accuracy, "", summary.chance_loss_nats);
}

std::string support_table(const RetrievalSummary& summary) {
  std::string text = fmt::format(
      "\nSupport at the answer query, {}, mean over heads (heads are written layer.head)\n\n"
      "  layer     mass   displacement   recall@{}   most mass        highest recall\n",
      plural(summary.support_questions), kSupportRecallSize);
  for (std::size_t first = 0; first < summary.heads.size();) {
    std::size_t end = first;
    double mass = 0, displacement = 0, recall = 0;
    const HeadSupport* most_mass = &summary.heads[first];
    const HeadSupport* most_recall = most_mass;
    for (; end < summary.heads.size() &&
           summary.heads[end].head.layer == summary.heads[first].head.layer;
         ++end) {
      const HeadSupport& head = summary.heads[end];
      mass += head.mass.value;
      displacement += head.displacement.value;
      recall += head.recall.value;
      if (head.mass.value > most_mass->mass.value) most_mass = &head;
      if (head.recall.value > most_recall->recall.value) most_recall = &head;
    }
    const auto heads = static_cast<double>(end - first);
    const int layer = summary.heads[first].head.layer;
    text += fmt::format(
        "  {:>5}   {:.4f}   {:>12.1f}   {:>9.3f}   {:>6} {:.4f}    {:>6} {:.3f}\n", layer,
        mass / heads, displacement / heads, recall / heads,
        fmt::format("{}.{}", layer, most_mass->head.query_head), most_mass->mass.value,
        fmt::format("{}.{}", layer, most_recall->head.query_head), most_recall->recall.value);
    first = end;
  }
  const SupportMeans& all = *summary.support;
  text += fmt::format("  {:>5}   {:.4f}   {:>12.1f}   {:>9.3f}\n", "all", all.mass.value,
                      all.displacement.value, all.recall.value);
  if (all.mass.interval) {
    text += fmt::format(
        "  95% of all: mass {}, displacement {}, recall {}\n", interval_text(all.mass.interval, 4),
        interval_text(all.displacement.interval, 1), interval_text(all.recall.interval, 3));
  }
  return text;
}

void add_mean(nlohmann::ordered_json& record, const std::string& name,
              const std::optional<MeanOverQuestions>& mean) {
  for (const char* end : {"", "_low", "_high"}) record[name + end] = nullptr;
  if (!mean) return;
  record[name] = mean->value;
  if (!mean->interval) return;
  record[name + "_low"] = mean->interval->low;
  record[name + "_high"] = mean->interval->high;
}

nlohmann::ordered_json treatment_json(const std::optional<SizedIntervention>& treatment) {
  nlohmann::ordered_json record;
  for (const char* key : {"ranking", "rule", "scope", "set_size"}) record[key] = nullptr;
  if (!treatment) return record;
  record["ranking"] = name(treatment->intervention.ranking);
  record["rule"] = name(treatment->intervention.rule);
  record["scope"] = name(treatment->intervention.scope);
  record["set_size"] = treatment->set_size;
  return record;
}

nlohmann::ordered_json protocol_json(const RetrievalReport& report) {
  nlohmann::ordered_json protocol;
  protocol["questions_file"] = report.questions_path;
  protocol["template"] = report.prompt_template;
  protocol["bos_id"] = nullptr;
  if (report.bos_id) protocol["bos_id"] = *report.bos_id;
  protocol["compute"] = report.compute;
  protocol["seed"] = report.seed;
  protocol["recall_size"] = kSupportRecallSize;
  return protocol;
}

}  // namespace

std::vector<std::string> retrieval_notes(const RetrievalReport& report) {
  std::vector<std::string> notes;
  for (const auto& [names, count] : shared_candidates(report)) {
    notes.push_back(fmt::format(
        "note: the candidates {} share their first token in {}; there a candidate's score is the "
        "mean log-probability of its whole continuation",
        names, plural(count)));
  }
  struct Excluded {
    std::size_t count = 0, first = 0;
  };
  std::map<std::string, Excluded> excluded;
  for (std::size_t i = 0; i < report.tokens.size(); ++i) {
    if (report.tokens[i].no_support_reason.empty()) continue;
    Excluded& found = excluded[report.tokens[i].no_support_reason];
    if (found.count++ == 0) found.first = i;
  }
  for (const auto& [reason, found] : excluded) {
    const std::string& detail = report.tokens[found.first].no_support_detail;
    notes.push_back(fmt::format("note: no support measured in {}: {} (first in {}{}{})",
                                plural(found.count), reason, report.questions[found.first].name,
                                detail.empty() ? "" : ", ", detail));
  }
  return notes;
}

std::string retrieval_text(const RetrievalReport& report) {
  std::size_t shortest = report.tokens.front().prompt.size(), longest = 0;
  for (const QuestionTokens& tokens : report.tokens) {
    shortest = std::min(shortest, tokens.prompt.size());
    longest = std::max(longest, tokens.prompt.size());
  }
  const std::size_t by_continuation = scored_by_continuation(report);
  std::string text = fmt::format(
      "{} of {}\nprotocol: prompts of {} to {} tokens, BOS: {}, template {}, {} arithmetic\n"
      "scored by the first continuation token in {}, by the mean log-probability of the "
      "continuation "
      "in {}; loss normalised over the candidates\n\n",
      plural(report.summary.questions), report.questions_path, shortest, longest,
      report.bos_id ? fmt::format("token {}", *report.bos_id) : "none",
      in_quotes(report.prompt_template), report.compute,
      plural(report.tokens.size() - by_continuation), plural(by_continuation));
  text += answers_table(report.summary);
  return report.summary.heads.empty() ? text + "\nNo question has support that could be measured.\n"
                                      : text + support_table(report.summary);
}

std::string retrieval_json(const RetrievalReport& report) {
  nlohmann::ordered_json json;
  json["protocol"] = protocol_json(report);
  json["num_questions"] = report.summary.questions;
  json["chance_accuracy"] = report.summary.chance_accuracy;
  json["chance_loss_nats"] = report.summary.chance_loss_nats;
  auto& results = json["results"] = nlohmann::ordered_json::array();
  for (const AnswerSummary& answers : report.summary.answers) {
    nlohmann::ordered_json record = treatment_json(answers.treatment);
    record["num_correct"] = answers.correct;
    record["accuracy"] = answers.accuracy;
    record["accuracy_low"] = answers.accuracy_interval.low;
    record["accuracy_high"] = answers.accuracy_interval.high;
    add_mean(record, "loss_nats", answers.loss_nats);
    add_mean(record, "loss_increase_nats", answers.loss_increase_nats);
    results.push_back(std::move(record));
  }
  // Where an interval is null.
  json["interval_reason"] = report.summary.questions == 1 ? kOneQuestion : "";
  const std::size_t by_continuation = scored_by_continuation(report);
  json["scoring"] = {{"first_token", report.tokens.size() - by_continuation},
                     {"mean_log_probability", by_continuation},
                     {"shared_first_token", nlohmann::ordered_json::array()}};
  json["support"] = {{"num_questions", report.summary.support_questions},
                     {"interval_reason", report.summary.support_questions == 1 ? kOneQuestion : ""},
                     {"excluded", nlohmann::ordered_json::array()}};
  for (const Measure& measure : kMeasures) {
    std::optional<MeanOverQuestions> all;
    if (report.summary.support) all = (*report.summary.support).*measure.value;
    add_mean(json["support"], measure.name, all);
  }
  for (std::size_t i = 0; i < report.tokens.size(); ++i) {
    const QuestionTokens& tokens = report.tokens[i];
    if (!tokens.shared_first_token.empty()) {
      std::vector<std::string> names;
      for (const std::size_t c : tokens.shared_first_token) {
        names.push_back(report.questions[i].candidates[c]);
      }
      json["scoring"]["shared_first_token"].push_back(
          {{"question", report.questions[i].name}, {"candidates", names}});
    }
    if (!tokens.no_support_reason.empty()) {
      json["support"]["excluded"].push_back(
          {{"question", report.questions[i].name}, {"reason", no_support(report, i)}});
    }
  }
  auto& heads = json["heads"] = nlohmann::ordered_json::array();
  for (const HeadSupport& head : report.summary.heads) {
    nlohmann::ordered_json record;
    record["layer"] = head.head.layer;
    record["head"] = head.head.query_head;
    record["num_questions"] = report.summary.support_questions;
    for (const Measure& measure : kMeasures) {
      add_mean(record, measure.name, head.*measure.value);
    }
    heads.push_back(std::move(record));
  }
  return json.dump() + "\n";
}

std::string retrieval_heads_csv(const RetrievalReport& report) {
  std::string csv = "layer,head,num_questions";
  for (const Measure& measure : kMeasures) {
    csv += fmt::format(",{0},{0}_low,{0}_high", measure.name);
  }
  csv += ",reason\n";
  for (const HeadSupport& head : report.summary.heads) {
    csv += fmt::format("{},{},{}", head.head.layer, head.head.query_head,
                       report.summary.support_questions);
    for (const Measure& measure : kMeasures) {
      const MeanOverQuestions& mean = head.*measure.value;
      csv += fmt::format(",{},", mean.value);
      csv += mean.interval ? fmt::format("{},{}", mean.interval->low, mean.interval->high) : ",";
    }
    csv += fmt::format(",{}\n", head.mass.interval ? "" : kOneQuestion);
  }
  return csv;
}

std::string retrieval_answers_csv(const RetrievalReport& report) {
  std::string csv =
      "question,ranking,rule,scope,set_size,prompt_tokens,scoring,answer,predicted,correct,"
      "loss_nats,support_tokens,no_support_reason\n";
  for (const TreatedAnswers& answers : report.scores.answers) {
    std::string treatment = ",,,";
    if (answers.treatment) {
      treatment =
          fmt::format("{},{},{},{}", name(answers.treatment->intervention.ranking),
                      name(answers.treatment->intervention.rule),
                      name(answers.treatment->intervention.scope), answers.treatment->set_size);
    }
    for (std::size_t i = 0; i < report.questions.size(); ++i) {
      const Question& question = report.questions[i];
      const QuestionTokens& tokens = report.tokens[i];
      const QuestionScore& score = answers.questions[i];
      csv += fmt::format("{},{},{},{},{},{},{},{},{},{}\n", csv_text(question.name), treatment,
                         tokens.prompt.size(), scoring_name(tokens), csv_text(question.answer),
                         csv_text(question.candidates[score.predicted]),
                         int{score.predicted == tokens.answer}, score.loss_nats,
                         tokens.support.size(), csv_text(no_support(report, i)));
    }
  }
  return csv;
}

}  // namespace toplens
