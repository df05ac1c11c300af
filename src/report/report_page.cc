#include "report/report_page.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>
#include <toplens/error.h>

#include "io/atomic_file.h"
#include "report/figure.h"
#include "report/map_entries.h"
#include "report/page_shell.h"
#include "report/run_summary.h"
#include "report/words.h"

namespace toplens {
namespace {

PageJson items_json(const std::vector<RunSummary::Item>& items) {
  PageJson json = PageJson::array();
  for (const RunSummary::Item& item : items) {
    json.push_back({{"label", item.label}, {"text", item.text}});
  }
  return json;
}

PageJson figure_json(const FigureRow& row, const Figure& figure, const ReportRun& run) {
  PageJson tables = PageJson::object();
  for (const auto& [name, table] : figure.tables) tables[name] = table.json();
  return {{"id", row.id},
          {"name", row.name},
          {"section", row.section},
          {"finding", figure.finding},
          {"note", figure.note},
          {"alt", figure.alt},
          {"documents", figure.documents.empty() ? count_text(run.results.documents, "document")
                                                 : figure.documents},
          {"variants", figure.variants},
          {"values", figure.values},
          {"tables", std::move(tables)}};
}

PageJson entries_json(const ReportRun& run) {
  PageJson json = PageJson::array();
  for (const MapEntry& entry : map_entries(run)) {
    json.push_back({{"quantity", entry.quantity},
                    {"group", entry.group},
                    {"label", entry.label},
                    {"size", entry.size ? PageJson(*entry.size) : PageJson(nullptr)}});
  }
  return json;
}

/// The head that the page shows first: of highest F at the size shown first.
std::size_t first_head(const ReportRun& run) {
  if (!run.curves) return 0;
  const HeadCurves& curves = *run.curves;
  const std::size_t size = focal_size(curves);
  std::size_t best = 0;
  const std::vector<double>& f = curves.f_score().measured.mean;
  for (std::size_t head = 0; head < run.results.num_heads(); ++head) {
    if (f[head * curves.sizes() + size] > f[best * curves.sizes() + size]) best = head;
  }
  return best;
}

PageJson run_json(const ReportRun& run, std::vector<LeftOutFigure>& left_out) {
  const RunSummary summary = summarise_run(run);
  PageJson figures = PageJson::array(), missing = PageJson::array();
  for (const FigureRow& row : figure_table()) {
    const FigureOrReason made = row.make(run);
    if (const auto* reason = std::get_if<std::string>(&made)) {
      left_out.push_back({run.results.name(), std::string(row.name), *reason});
      missing.push_back({{"figure", row.name}, {"reason", *reason}});
    } else {
      figures.push_back(figure_json(row, std::get<Figure>(made), run));
    }
  }
  if (const std::vector<std::string> absent = absent_quantities(run); !absent.empty()) {
    std::string names;
    for (const std::string& name : absent) names += (names.empty() ? "" : ", ") + name;
    missing.push_back(
        {{"figure", "quantities of the map: " + names},
         {"reason", run.results.heads ? "heads.nc does not have them" : "heads.nc is not there"}});
  }
  PageJson facts = PageJson::array();
  for (const HeadFact& fact : head_facts(run)) {
    facts.push_back({{"label", fact.label}, {"texts", keyed_texts(PageKey::head, fact.texts)}});
  }
  return {
      {"name", run.results.name()},
      {"title", summary.title},
      {"items", items_json(summary.items)},
      {"headlines", items_json(summary.headlines)},
      {"warnings", summary.warnings},
      {"left_out", std::move(missing)},
      {"layers", run.results.layers},
      {"heads", run.results.query_heads},
      {"set_sizes", run.set_sizes()},
      {"entries", entries_json(run)},
      {"first", {{"head", first_head(run)}, {"size", run.curves ? focal_size(*run.curves) : 0}}},
      {"facts", std::move(facts)},
      {"figures", std::move(figures)}};
}

std::string fill(std::string_view shell, std::string_view mark, std::string_view content) {
  const std::size_t at = shell.find(mark);
  if (at == std::string_view::npos) {
    throw Error(fmt::format("the report's template has no {}", mark));
  }
  std::string page;
  page.reserve(shell.size() + content.size());
  page.append(shell.substr(0, at)).append(content).append(shell.substr(at + mark.size()));
  return page;
}

}  // namespace

ReportOutcome write_report(const std::vector<std::filesystem::path>& run_directories,
                           const std::filesystem::path& page) {
  ReportOutcome outcome;
  outcome.page = page;
  PageJson runs = PageJson::array();
  std::string title;
  for (const std::filesystem::path& directory : run_directories) {
    const ReportRun run = read_report_run(directory);
    runs.push_back(run_json(run, outcome.left_out));
    if (!title.empty()) title += " / ";
    title += runs.back()["title"].get<std::string>();
  }
  const std::string html =
      fill(fill(page_shell(), "@REPORT_DATA@", to_script_json({{"runs", std::move(runs)}})),
           "@REPORT_TITLE@", to_html(title));
  outcome.bytes = html.size();
  write_file_atomically(page, html);
  return outcome;
}

}  // namespace toplens
