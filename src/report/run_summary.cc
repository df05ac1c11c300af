#include "report/run_summary.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include <fmt/format.h>

#include "report/map_entries.h"
#include "report/warnings.h"
#include "report/words.h"

namespace toplens {
namespace {

/// A value of run.json as a person reads it; "not recorded" where it is absent.
std::string recorded(const nlohmann::ordered_json& run, const std::string& pointer) {
  const nlohmann::ordered_json::json_pointer at(pointer);
  if (!run.contains(at)) return "not recorded";
  const nlohmann::ordered_json& value = run.at(at);
  return value.is_string() ? value.get<std::string>()
                           : value.dump(-1, ' ', false, PageJson::error_handler_t::replace);
}

std::string file_name(const std::string& path) {
  return (std::filesystem::path(path) / "").parent_path().filename().string();
}

std::string list_of(const nlohmann::ordered_json& run, const std::string& pointer,
                    std::string_view separator = ", ") {
  const nlohmann::ordered_json::json_pointer at(pointer);
  if (!run.contains(at) || !run.at(at).is_array()) return "not recorded";
  std::vector<std::string> items;
  for (const auto& item : run.at(at)) {
    items.push_back(item.is_string() ? item.get<std::string>() : item.dump());
  }
  return fmt::format("{}", fmt::join(items, separator));
}

/// As typed, the program by its name alone.
std::string command_line(const nlohmann::ordered_json& run) {
  const std::string text = list_of(run, "/command_line", " ");
  const std::string program = text.substr(0, text.find(' '));
  return file_name(program) + text.substr(program.size());
}

/// Of theory.json: how the predicted curve and its envelope fared over all heads and sizes.
void add_theory_headlines(std::vector<RunSummary::Item>& headlines, const ReportRun& run) {
  if (!run.results.theory) return;
  const nlohmann::json& theory = *run.results.theory;
  const nlohmann::json::json_pointer rankings("/rankings"), overall("/overall/f_score");
  if (!theory.contains(rankings) || !theory.at(rankings).is_array()) return;
  for (const nlohmann::json& ranking : theory.at(rankings)) {
    if (!ranking.contains("ranking") || ranking.at("ranking") != shown_ranking(run.results) ||
        !ranking.contains(overall)) {
      continue;
    }
    const auto mean = [&](const char* key) {
      const nlohmann::json::json_pointer at = nlohmann::json::json_pointer(key) / "mean";
      const nlohmann::json& figures = ranking.at(overall);
      return figures.contains(at) && figures.at(at).is_number() ? figures.at(at).get<double>()
                                                                : std::nan("");
    };
    headlines.push_back({fmt::format("of mean F lie in the envelope, which is {} wide",
                                     number_text(mean("/width"))),
                         percent_text(mean("/coverage"))});
    headlines.push_back({"mean error of the predicted F", number_text(mean("/centre_error"))});
    headlines.push_back(
        {"error of predicting the mean over heads", number_text(mean("/baseline_error"))});
  }
}

void add_headlines(std::vector<RunSummary::Item>& headlines, const ReportRun& run) {
  const auto heads = static_cast<double>(run.results.num_heads());
  if (run.curves) {
    const HeadCurves& curves = *run.curves;
    const std::size_t size = focal_size(curves);
    const int n = curves.set_sizes[size];
    headlines.push_back(
        {fmt::format("mean F at N = {}", n), number_text(curves.f_score().all_heads.mean[size])});
    if (!curves.control.empty()) {
      std::vector<double> random;
      for (std::size_t head = 0; head < run.results.num_heads(); ++head) {
        random.push_back(curves.f_score().control[head * curves.sizes() + size]);
      }
      headlines.push_back({"the same at random (median)", number_text(median_of(random))});
    }
    std::vector<double> half;
    for (std::size_t head = 0; head < run.results.num_heads(); ++head) {
      const std::size_t below = first_below(curves, curves.f_score().measured.mean, head, 0.5);
      if (below < curves.sizes()) half.push_back(curves.set_sizes[below]);
    }
    headlines.push_back({"heads whose F falls below 0.5 by the largest N",
                         percent_text(static_cast<double>(half.size()) / heads)});
  }
  const auto median = [&](const char* variable, const char* label) {
    if (const auto values = head_numbers(run.results, variable)) {
      headlines.push_back({label, number_text(median_of(*values))});
    }
  };
  median("sink_mass", "sink mass, median head");
  median("sink_similarity", "sink similarity, median head");
  add_theory_headlines(headlines, run);
}

}  // namespace

RunSummary summarise_run(const ReportRun& run) {
  const nlohmann::ordered_json& json = run.results.run;
  RunSummary summary;
  summary.title = fmt::format("{} on {}", file_name(recorded(json, "/model/path")),
                              file_name(recorded(json, "/text/path")));
  summary.items = {
      {"Model",
       fmt::format("{}: {}, {} layers of {} heads ({} kv heads), head dimension {}",
                   recorded(json, "/model/path"), recorded(json, "/model/architecture"),
                   recorded(json, "/model/num_layers"), recorded(json, "/model/num_query_heads"),
                   recorded(json, "/model/num_kv_heads"), recorded(json, "/model/head_dim"))},
      {"Text",
       fmt::format("{}: {} documents of {} tokens, of {} windows; BOS: {}",
                   recorded(json, "/text/path"), run.results.documents,
                   recorded(json, "/text/context_length"),
                   recorded(json, "/text/windows_available"), recorded(json, "/text/bos_source"))},
      {"Protocol",
       fmt::format("queries {}; rankings {}; distances {}; set sizes {}; {} random repeats; {} "
                   "arithmetic; seed {}",
                   recorded(json, "/settings/protocol/queries"),
                   list_of(json, "/settings/protocol/rankings"),
                   list_of(json, "/settings/protocol/distances"),
                   list_of(json, "/settings/protocol/set_sizes"),
                   recorded(json, "/settings/protocol/random_repeats"),
                   recorded(json, "/settings/protocol/compute"),
                   recorded(json, "/settings/protocol/seed"))},
      {"Shown", run.curves
                    ? fmt::format("{} ranking, {} distance; intervals: 95%, bootstrap over {}",
                                  run.curves->ranking, run.curves->distance,
                                  count_text(run.curves->documents, "document"))
                    : std::string("no measured geometry")},
      {"Made by", fmt::format("toplens {}, started {}; {}", recorded(json, "/toplens/version"),
                              recorded(json, "/started"), command_line(json))},
  };
  add_headlines(summary.headlines, run);
  summary.warnings = run_warnings(run);
  return summary;
}

std::vector<HeadFact> head_facts(const ReportRun& run) {
  std::vector<HeadFact> facts;
  for (const MapEntry& entry : map_entries(run)) {
    HeadFact fact;
    fact.label = entry.size
                     ? fmt::format("{} = {}", entry.label, run.curves->set_sizes[*entry.size])
                     : entry.label;
    if (entry.size && *entry.size != focal_size(*run.curves)) continue;
    const auto low = entry.size ? std::nullopt : head_numbers(run.results, entry.quantity + "_low");
    const auto high =
        entry.size ? std::nullopt : head_numbers(run.results, entry.quantity + "_high");
    for (std::size_t head = 0; head < run.results.num_heads(); ++head) {
      if (entry.scale == MapScale::categorical) {
        fact.texts.push_back(entry.labels[head]);
        continue;
      }
      std::string text = number_text(entry.values[head]);
      if (low && high && !std::isnan((*low)[head])) {
        text += fmt::format(" [{}, {}]", number_text((*low)[head]), number_text((*high)[head]));
      }
      fact.texts.push_back(std::move(text));
    }
    facts.push_back(std::move(fact));
  }
  return facts;
}

}  // namespace toplens
