#include "results/summary.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>

#include <fmt/format.h>

namespace toplens {
namespace {

constexpr std::size_t kMostSizeColumns = 6;
constexpr std::size_t kHeadsNamed = 5;
constexpr int kBarCells = 20;
constexpr double kFocalSetSize = 16;

enum Metric : std::size_t { kPrecision = 0, kRecall = 1, kFScore = 2 };

// Mean of what is defined, and how much that is.
struct Mean {
  double value = std::numeric_limits<double>::quiet_NaN();
  std::size_t count = 0;
};

Mean mean(std::span<const double> values) {
  Mean result;
  double sum = 0;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    sum += value;
    ++result.count;
  }
  if (result.count > 0) result.value = sum / static_cast<double>(result.count);
  return result;
}

std::string number(double value) { return std::isnan(value) ? "-" : fmt::format("{:.3f}", value); }

std::string plural(std::size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

// A value in [0, 1] in eighths of a character cell. Only ever at a line's end: its bytes are more
// than its columns.
std::string bar(double value) {
  constexpr std::array<std::string_view, 8> kEighths = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  if (std::isnan(value)) return "";
  const int eighths = static_cast<int>(std::lround(std::clamp(value, 0.0, 1.0) * kBarCells * 8));
  std::string text;
  for (int i = 0; i < eighths / 8; ++i) text += "█";
  return text += kEighths[static_cast<std::size_t>(eighths % 8)];
}

std::optional<std::size_t> find_label(std::span<const std::string> labels,
                                      const std::string& name) {
  const auto found = std::find(labels.begin(), labels.end(), name);
  if (found == labels.end()) return std::nullopt;
  return static_cast<std::size_t>(found - labels.begin());
}

std::string capitalized_distance(const std::string& name) {
  return name == "euclidean" ? "Euclidean" : name;
}

class Summary {
 public:
  Summary(const GeometryView& geometry, const SummaryOptions& options)
      : geometry_(geometry),
        options_(options),
        ranking_(find_label(geometry.rankings, options.ranking).value_or(0)),
        distance_(find_label(geometry.distances, options.distance).value_or(0)),
        control_(find_label(geometry.rankings, options.control)) {
    if (control_ == ranking_) control_.reset();
    for (std::size_t n = 0; n < geometry.set_sizes.size(); ++n)
      f_scores_.push_back(mean_over_documents(geometry, kFScore, ranking_, distance_, n));
  }

  std::string text() {
    curve();
    layers();
    extremes();
    return std::move(text_);
  }

 private:
  template <typename... Arguments>
  void line(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    text_ += fmt::format(format, std::forward<Arguments>(arguments)...);
    text_.erase(text_.find_last_not_of(' ') + 1);
    text_ += '\n';
  }

  double overall(std::size_t metric, std::size_t ranking, std::size_t n) const {
    return mean(mean_over_documents(geometry_, metric, ranking, distance_, n)).value;
  }

  std::size_t num_heads() const { return geometry_.index.layers * geometry_.index.heads; }

  double separable_share(std::size_t n) const {
    const auto defined = mean(f_scores_[n]).count;
    const auto count = std::count_if(f_scores_[n].begin(), f_scores_[n].end(),
                                     [&](double f) { return f >= options_.separable_f_score; });
    return static_cast<double>(count) / static_cast<double>(defined);
  }

  void curve() {
    line("How well the top N tokens separate from the rest in value space");
    line("{} ranking, {} distance, mean over {} and {}", geometry_.rankings[ranking_],
         capitalized_distance(geometry_.distances[distance_]), plural(num_heads(), "head"),
         plural(geometry_.index.documents, "document"));
    line("");
    const std::string count_heading = fmt::format("F >= {}", options_.separable_f_score);
    line("{:>7}  {:^23}   {:^23}   {:>9}", "", "top N by " + geometry_.rankings[ranking_],
         control_ ? "N at " + geometry_.rankings[*control_] : "", "heads");
    const std::string metrics = fmt::format("{:>7} {:>7} {:>7}", "P", "R", "F");
    line("{:>7}  {}   {:>23}   {:>9}   F from 0 to 1", "N", metrics, control_ ? metrics : "",
         count_heading);
    for (std::size_t n = 0; n < geometry_.set_sizes.size(); ++n) curve_row(n);
    finding();
  }

  void curve_row(std::size_t n) {
    const Mean f = mean(f_scores_[n]);
    if (f.count == 0) {
      line("{:>7}  not defined: no head sees more than {}", geometry_.set_sizes[n],
           plural(static_cast<std::size_t>(geometry_.set_sizes[n]), "token"));
      return;
    }
    const auto triple = [&](std::size_t ranking) {
      return fmt::format("{:>7} {:>7} {:>7}", number(overall(kPrecision, ranking, n)),
                         number(overall(kRecall, ranking, n)),
                         number(overall(kFScore, ranking, n)));
    };
    line("{:>7}  {}   {:>23}   {:>9}   {}", geometry_.set_sizes[n], triple(ranking_),
         control_ ? triple(*control_) : "", fmt::format("{:.0f} %", 100 * separable_share(n)),
         bar(f.value));
  }

  // From which size on fewer than half of the heads are separable.
  void finding() {
    line("");
    std::optional<std::size_t> first;
    bool any = false;
    for (std::size_t n = geometry_.set_sizes.size(); n-- > 0;) {
      if (mean(f_scores_[n]).count == 0) continue;
      any = true;
      if (separable_share(n) >= 0.5) break;
      first = n;
    }
    if (!any) {
      line("No set size is defined: every head sees too few tokens.");
    } else if (first) {
      line("From N = {} on, fewer than half of the heads have F >= {}.",
           geometry_.set_sizes[*first], options_.separable_f_score);
    } else {
      line("At least half of the heads have F >= {} up to the largest defined N.",
           options_.separable_f_score);
    }
    for (std::size_t n = 0; n < geometry_.set_sizes.size(); ++n) {
      const std::size_t defined = mean(f_scores_[n]).count;
      if (defined > 0 && defined < num_heads())
        line("N = {} is defined for {} of {} heads; the others see too few tokens.",
             geometry_.set_sizes[n], defined, num_heads());
    }
  }

  // At most six defined sizes, spread over them; N = 1 is trivial (theory.md (9)).
  std::vector<std::size_t> shown_sizes() const {
    std::vector<std::size_t> defined;
    for (std::size_t n = 0; n < geometry_.set_sizes.size(); ++n)
      if (mean(f_scores_[n]).count > 0) defined.push_back(n);
    if (defined.size() > 1 && geometry_.set_sizes[defined.front()] == 1)
      defined.erase(defined.begin());
    if (defined.size() <= kMostSizeColumns) return defined;
    std::vector<std::size_t> spread;
    for (std::size_t i = 0; i < kMostSizeColumns; ++i) {
      spread.push_back(defined[(i * (defined.size() - 1) + (kMostSizeColumns - 1) / 2) /
                               (kMostSizeColumns - 1)]);
    }
    return spread;
  }

  // The size at which single heads are named: the shown one that is nearest to 16.
  std::size_t focal_size(const std::vector<std::size_t>& shown) const {
    const auto distance = [&](std::size_t n) {
      return std::abs(std::log(geometry_.set_sizes[n] / kFocalSetSize));
    };
    return *std::min_element(shown.begin(), shown.end(), [&](std::size_t a, std::size_t b) {
      return distance(a) < distance(b);
    });
  }

  std::string head_name(std::size_t head) const {
    return fmt::format("{}.{}", head / geometry_.index.heads, head % geometry_.index.heads);
  }

  // Heads of [first, last) by falling F at this size; undefined ones left out.
  std::vector<std::size_t> by_f_score(std::size_t n, std::size_t first, std::size_t last) const {
    std::vector<std::size_t> heads;
    for (std::size_t head = first; head < last; ++head)
      if (!std::isnan(f_scores_[n][head])) heads.push_back(head);
    std::stable_sort(heads.begin(), heads.end(), [&](std::size_t a, std::size_t b) {
      return f_scores_[n][a] > f_scores_[n][b];
    });
    return heads;
  }

  void layers() {
    const std::vector<std::size_t> shown = shown_sizes();
    if (shown.empty()) return;
    const std::size_t focal = focal_size(shown);
    const std::size_t num_layers = geometry_.index.layers;
    const std::size_t step = (num_layers + options_.most_layer_rows - 1) /
                             std::max<std::size_t>(options_.most_layer_rows, 1);
    line("");
    line("F by layer{} (heads are written layer.head)",
         step > 1 ? fmt::format(", in groups of {} layers", step) : "");
    line("");
    std::string heading = fmt::format("{:>7} ", "layer");
    for (const std::size_t n : shown)
      heading += fmt::format("{:>8}", fmt::format("N={}", geometry_.set_sizes[n]));
    const std::string at = fmt::format("N={}", geometry_.set_sizes[focal]);
    line("{}   {:>16}{:>20}", heading, "best, " + at, "weakest, " + at);
    for (std::size_t first = 0; first < num_layers; first += step)
      layer_row(first, std::min(first + step, num_layers), shown, focal);
  }

  void layer_row(std::size_t first, std::size_t last, const std::vector<std::size_t>& shown,
                 std::size_t focal) {
    const std::size_t heads = geometry_.index.heads;
    std::string row = fmt::format(
        "{:>7} ", last - first > 1 ? fmt::format("{}-{}", first, last - 1) : fmt::to_string(first));
    for (const std::size_t n : shown) {
      const std::span<const double> of_layers(f_scores_[n].data() + first * heads,
                                              (last - first) * heads);
      row += fmt::format("{:>8}", number(mean(of_layers).value));
    }
    const std::vector<std::size_t> order = by_f_score(focal, first * heads, last * heads);
    const auto named = [&](std::size_t head) {
      return fmt::format("{:>8}  {}", head_name(head), number(f_scores_[focal][head]));
    };
    line("{}   {:>16}{:>20}", row, order.empty() ? "-" : named(order.front()),
         order.empty() ? "-" : named(order.back()));
  }

  void extremes() {
    const std::vector<std::size_t> shown = shown_sizes();
    if (shown.empty()) return;
    const std::size_t focal = focal_size(shown);
    std::vector<std::size_t> order = by_f_score(focal, 0, num_heads());
    if (order.size() < 2 * kHeadsNamed) return;
    const auto list = [&] {
      std::string heads;
      for (std::size_t i = 0; i < kHeadsNamed; ++i)
        heads += fmt::format("{:>8} {}", head_name(order[i]), number(f_scores_[focal][order[i]]));
      return heads;
    };
    line("");
    line("At N = {:<5} best   {}", geometry_.set_sizes[focal], list());
    std::reverse(order.begin(), order.end());
    line("{:>10} weakest{}", "", list());
  }

  const GeometryView& geometry_;
  const SummaryOptions& options_;
  std::size_t ranking_;
  std::size_t distance_;
  std::optional<std::size_t> control_;
  std::vector<std::vector<double>> f_scores_;  // [set size][head]
  std::string text_;
};

}  // namespace

std::string run_headline(const RunManifest& manifest) {
  const ModelConfig& config = manifest.model.config;
  const TextRecord& text = manifest.text;
  const Protocol& protocol = manifest.protocol;
  const std::string kv_heads = config.num_kv_heads == config.num_query_heads
                                   ? ""
                                   : fmt::format(" ({} kv heads)", config.num_kv_heads);
  return fmt::format(
      "model  {}: {}, {} of {}{}, head_dim {}\n"
      "text   {}: {} of {}, {} tokens each\n"
      "run    queries {}, {} arithmetic, seed {}\n",
      // A trailing slash leaves no file name.
      (manifest.model.path / "").parent_path().filename().string(), config.architecture,
      plural(static_cast<std::size_t>(config.num_layers), "layer"),
      plural(static_cast<std::size_t>(config.num_query_heads), "head"), kv_heads, config.head_dim,
      text.path.filename().string(), text.windows.size(), plural(text.windows_available, "window"),
      text.context_length, protocol.queries, protocol.compute, protocol.seed);
}

std::string geometry_summary(const GeometryView& geometry, const SummaryOptions& options) {
  return Summary(geometry, options).text();
}

}  // namespace toplens
