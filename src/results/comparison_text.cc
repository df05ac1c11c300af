#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "results/csv_table.h"
#include "results/geometry_dataset.h"
#include "results/run_comparison.h"

namespace toplens {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr std::array<Regime, kNumRegimes> kOrder = {Regime::retriever, Regime::mixer, Regime::reset,
                                                    Regime::unclassified, Regime::undefined};

struct Share {
  std::int64_t heads = 0, total = 0;
  double value() const { return static_cast<double>(heads) / static_cast<double>(total); }
};

Share share_of(const ComparedRun& run, Regime regime, std::size_t first_layer,
               std::size_t end_layer) {
  Share share;
  for (std::size_t row = first_layer * run.heads; row < end_layer * run.heads; ++row) {
    ++share.total;
    share.heads += run.regimes[row] == regime ? 1 : 0;
  }
  return share;
}

/// Layers of a part of the depth; a layer belongs to the part that its middle lies in.
std::pair<std::size_t, std::size_t> layers_of_part(std::size_t layers, std::size_t part) {
  const auto first = [&](std::size_t p) {
    return (2 * p * layers + kDepthParts) / (2 * kDepthParts);
  };
  return {first(part), first(part + 1)};
}

std::string depth_label(std::size_t part) {
  const auto parts = static_cast<double>(kDepthParts);
  return fmt::format("{:.2f}-{:.2f}", static_cast<double>(part) / parts,
                     static_cast<double>(part + 1) / parts);
}

std::string letter(std::size_t run) {
  return run < 26 ? std::string(1, static_cast<char>('A' + run)) : fmt::format("#{}", run + 1);
}

std::string percent(const Share& share) {
  return share.total == 0 ? "-" : fmt::format("{:.0f} %", 100.0 * share.value());
}

std::string header(const std::vector<ComparedRun>& runs, const std::string& first) {
  std::string line = fmt::format("  {:<24}", first);
  for (std::size_t run = 0; run < runs.size(); ++run) line += fmt::format("{:>9}", letter(run));
  return line + "\n";
}

/// The long table, built row by row.
class LongTable {
 public:
  struct Row {
    std::string_view section;
    std::string run, other_run;
    std::string_view regime;
    std::string depth, ranking, distance, set_size;
    std::string_view quantity;
    double value = 0.0;
    std::int64_t heads = 0;
  };

  void add(const Row& row) {
    const std::array<std::string, kTexts> texts = {std::string(row.section),
                                                   row.run,
                                                   row.other_run,
                                                   std::string(row.regime),
                                                   row.depth,
                                                   row.ranking,
                                                   row.distance,
                                                   row.set_size,
                                                   std::string(row.quantity)};
    for (std::size_t c = 0; c < kTexts; ++c) texts_[c].push_back(texts[c]);
    values_.push_back(row.value);
    heads_.push_back(row.heads);
  }

  std::string to_csv() const {
    CsvTable table(values_.size());
    for (std::size_t c = 0; c < kTexts; ++c) table.add_column(kNames[c], texts_[c]);
    table.add_column("value", values_);
    table.add_column("heads", heads_);
    return table.to_csv();
  }

 private:
  static constexpr std::size_t kTexts = 9;
  static constexpr std::array<const char*, kTexts> kNames = {"section",  "run",      "other_run",
                                                             "regime",   "depth",    "ranking",
                                                             "distance", "set_size", "quantity"};
  std::array<std::vector<std::string>, kTexts> texts_;
  std::vector<double> values_;
  std::vector<std::int64_t> heads_;
};

const ComparedPoint* find_point(const ComparedRun& run, const ComparedPoint& like) {
  for (const ComparedPoint& point : run.curves) {
    if (point.regime == like.regime && point.ranking == like.ranking &&
        point.distance == like.distance && point.set_size == like.set_size) {
      return &point;
    }
  }
  return nullptr;
}

std::string curves_text(const std::vector<ComparedRun>& runs) {
  std::string text = "\nF at the top N by attention, Euclidean, mean over heads and documents\n\n" +
                     header(runs, "N");
  std::vector<ComparedPoint> rows;
  for (const ComparedRun& run : runs) {
    for (const ComparedPoint& point : run.curves) {
      if (point.regime != "all" || point.ranking != "attention" || point.distance != "euclidean") {
        continue;
      }
      bool known = false;
      for (const ComparedPoint& row : rows) known = known || row.set_size == point.set_size;
      if (!known) rows.push_back(point);
    }
  }
  std::sort(rows.begin(), rows.end(),
            [](const ComparedPoint& a, const ComparedPoint& b) { return a.set_size < b.set_size; });
  for (const ComparedPoint& row : rows) {
    text += fmt::format("  {:<24}", row.set_size);
    for (const ComparedRun& run : runs) {
      const ComparedPoint* point = find_point(run, row);
      text +=
          fmt::format("{:>9}", point == nullptr ? "-" : fmt::format("{:.3f}", point->metrics[2]));
    }
    text += "\n";
  }
  return text;
}

}  // namespace

std::string comparison_text(const std::vector<ComparedRun>& runs) {
  std::string text;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const ComparedRun& run = runs[i];
    text += fmt::format(
        "  {}  {}\n     {} on {}: {} x {} heads, {} document{} of {} tokens, queries {}\n",
        letter(i), run.path.string(), run.model, run.text, run.layers, run.heads, run.documents,
        run.documents == 1 ? "" : "s", run.context_length, run.queries);
  }
  text += "\nShare of the heads\n\n" + header(runs, "regime");
  for (const Regime regime : kOrder) {
    text += fmt::format("  {:<24}", name(regime));
    for (const ComparedRun& run : runs) {
      text += fmt::format("{:>9}", percent(share_of(run, regime, 0, run.layers)));
    }
    text += "\n";
  }
  text += fmt::format("  {:<24}", "stability");
  for (const ComparedRun& run : runs) {
    text += fmt::format(
        "{:>9}", std::isnan(run.mean_stability) ? "-" : fmt::format("{:.2f}", run.mean_stability));
  }
  text += "\n\nBy relative depth\n\n" + header(runs, "depth      regime");
  for (std::size_t part = 0; part < kDepthParts; ++part) {
    for (const Regime regime : kOrder) {
      std::string line =
          fmt::format("  {:<24}", depth_label(part) + "  " + std::string(name(regime)));
      bool any = false;
      for (const ComparedRun& run : runs) {
        const auto [first, end] = layers_of_part(run.layers, part);
        const Share share = share_of(run, regime, first, end);
        any = any || share.heads > 0;
        line += fmt::format("{:>9}", percent(share));
      }
      if (any) text += line + "\n";
    }
  }
  text += "\nSame label, head by head\n\n";
  for (const LabelAgreement& agreement : label_agreements(runs)) {
    const ComparedRun& a = runs[agreement.first];
    const ComparedRun& b = runs[agreement.second];
    const std::string pair = letter(agreement.first) + " and " + letter(agreement.second);
    if (a.layers != b.layers || a.heads != b.heads) {
      text += fmt::format("  {}: heads do not correspond ({} x {} and {} x {})\n", pair, a.layers,
                          a.heads, b.layers, b.heads);
    } else {
      text += fmt::format("  {}: {} of {} heads that are defined in both{}\n", pair, agreement.same,
                          agreement.heads,
                          agreement.heads > 0
                              ? fmt::format(" ({})", percent({agreement.same, agreement.heads}))
                              : "");
    }
  }
  return text + curves_text(runs);
}

std::string comparison_csv(const std::vector<ComparedRun>& runs) {
  LongTable table;
  for (const ComparedRun& run : runs) {
    const std::string path = run.path.string();
    for (const Regime regime : kOrder) {
      const Share all = share_of(run, regime, 0, run.layers);
      table.add(
          {"regimes", path, "", name(regime), "", "", "", "", "share", all.value(), all.heads});
      for (std::size_t part = 0; part < kDepthParts; ++part) {
        const auto [first, end] = layers_of_part(run.layers, part);
        const Share share = share_of(run, regime, first, end);
        if (share.total == 0) continue;
        table.add({"depth", path, "", name(regime), depth_label(part), "", "", "", "share",
                   share.value(), share.heads});
      }
    }
    for (const ComparedPoint& point : run.curves) {
      for (std::size_t metric = 0; metric < point.metrics.size(); ++metric) {
        table.add({"curve", path, "", point.regime, "", point.ranking, point.distance,
                   fmt::format("{}", point.set_size), kGeometryMetrics[metric],
                   point.metrics[metric], point.heads});
      }
    }
  }
  for (const LabelAgreement& agreement : label_agreements(runs)) {
    table.add({"agreement", runs[agreement.first].path.string(),
               runs[agreement.second].path.string(), "", "", "", "", "", "same_label",
               agreement.heads > 0
                   ? static_cast<double>(agreement.same) / static_cast<double>(agreement.heads)
                   : kNan,
               agreement.heads});
  }
  return table.to_csv();
}

}  // namespace toplens
