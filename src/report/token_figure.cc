#include <utf8proc.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

#include "base/utf8.h"
#include "report/figure.h"
#include "report/words.h"

namespace toplens {
namespace {

constexpr std::size_t kMostTokens = 1 << 16;
constexpr std::size_t kMostRanks = 256;  // top N that can be marked
constexpr std::size_t kMostCells = 24;   // of one token; longer ones are cut

struct ShownToken {
  std::string text;
  int cells = 0;  ///< columns of a fixed-width font
};

/// Signs that every font has for what would break the line or show nothing.
std::int32_t visible(std::int32_t code) {
  if (code == '\n' || code == 0x2028 || code == 0x2029) return 0xb6;  // pilcrow
  if (code == '\t') return 0xbb;                                      // guillemet
  const bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);
  const bool turns_direction = code >= 0x202a && code <= 0x202e;
  return control || turns_direction ? 0xb7 : code;  // middle dot
}

/// A token's text on one line: control characters as their symbols, at most kMostCells wide.
ShownToken shown(const std::string& piece) {
  ShownToken token;
  const std::string valid = printable_utf8(piece);
  for (std::size_t i = 0; i < valid.size(); i += utf8_length(valid[i])) {
    std::int32_t code = utf8_code_point(valid, i);
    code = visible(code);
    const int width = std::max(0, utf8proc_charwidth(code));
    if (static_cast<std::size_t>(token.cells + width) > kMostCells) {
      token.text += "…";
      ++token.cells;
      break;
    }
    append_utf8(token.text, code);
    token.cells += width;
  }
  token.cells = std::max(token.cells, 1);
  return token;
}

}  // namespace

FigureOrReason token_figure(const ReportRun& run) {
  if (!run.results.profiles) {
    return std::string("profiles.nc is not there: analyze writes it with --theory on");
  }
  const Dataset& profiles = *run.results.profiles;
  const std::size_t tokens = profiles.dimension_size("token");
  if (tokens > kMostTokens) {
    return fmt::format("the document has more than {} tokens", kMostTokens);
  }
  const std::size_t ranks = std::min(kMostRanks, tokens);
  PageJson texts = PageJson::array(), cells = PageJson::array(), positions = PageJson::array();
  for (const std::string& piece : profiles.values<std::string>("token_text", {"token"})) {
    const ShownToken token = shown(piece);
    positions.push_back(texts.size());
    texts.push_back(token.text);
    cells.push_back(token.cells);
  }
  const std::span<const float> weights =
      profiles.values<float>("token_attention", {"layer", "head", "token"});
  std::vector<std::uint16_t> order;
  std::vector<std::string> findings;
  std::vector<std::uint16_t> indices(tokens);
  for (std::size_t head = 0; head < run.results.num_heads(); ++head) {
    const std::span<const float> row = weights.subspan(head * tokens, tokens);
    std::iota(indices.begin(), indices.end(), std::uint16_t{0});
    // As the attention ranking: ties to the lower position.
    std::partial_sort(indices.begin(), indices.begin() + static_cast<std::ptrdiff_t>(ranks),
                      indices.end(), [&](std::uint16_t a, std::uint16_t b) {
                        // Not a number: an order that is none would lead out of the array.
                        const float first = std::isnan(row[a]) ? 0.0f : row[a];
                        const float second = std::isnan(row[b]) ? 0.0f : row[b];
                        return first != second ? first > second : a < b;
                      });
    order.insert(order.end(), indices.begin(),
                 indices.begin() + static_cast<std::ptrdiff_t>(ranks));
    double top = 0.0;
    const std::size_t few = std::min<std::size_t>(8, ranks);
    for (std::size_t i = 0; i < few; ++i) top += row[indices[i]];
    findings.push_back(fmt::format(
        "Head {}: the {} most attended of {} tokens take {} of the final query's attention",
        run.results.head_name(head), few, tokens, percent_text(top)));
  }
  PageTable table(PageKey::head, tokens);
  table.fixed("position", positions).fixed("text", texts).fixed("cells", cells);
  table.levels("weight", weights);
  PageJson rank = PageJson::array();
  for (std::size_t i = 0; i < ranks; ++i) rank.push_back(i + 1);
  PageTable top(PageKey::head, ranks);
  top.fixed("rank", rank).words("position", order);
  Figure figure;
  figure.finding = keyed_texts(PageKey::head, findings);
  const auto& attributes = profiles.attributes();
  const auto label = attributes.find("shown_document");
  figure.note = text(
      fmt::format("Document {}, {}; underlined: the top N. Weights to 2 %.",
                  label != attributes.end() && std::holds_alternative<std::string>(label->second)
                      ? printable_utf8(std::get<std::string>(label->second))
                      : "0",
                  count_text(tokens, "token")));
  figure.alt =
      "The document's tokens in reading order, each coloured by the attention weight that "
      "the final query puts on it; the top N are underlined";
  figure.tables.emplace_back("tokens", table);
  figure.tables.emplace_back("top", top);
  return figure;
}

}  // namespace toplens
