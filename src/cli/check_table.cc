#include "cli/check_table.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

namespace toplens {
namespace {

constexpr std::size_t kLineLength = 100;

/// Lines of at most kLineLength characters, the second and later ones indented.
std::string wrap(std::string_view text, std::size_t indent) {
  std::string wrapped;
  std::size_t column = indent;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    if (column > indent && column + 1 + word.size() > kLineLength) {
      wrapped += '\n';
      wrapped.append(indent, ' ');
      column = indent;
    } else if (column > indent) {
      wrapped += " ";
      ++column;
    }
    wrapped += word;
    column += word.size();
  }
  return wrapped;
}

}  // namespace

std::string check_table(std::span<const CheckResult> results) {
  std::size_t width = 0;
  for (const CheckResult& result : results) width = std::max(width, result.name.size());
  std::array<std::size_t, kCheckStatuses.size()> counts{};
  std::string text;
  for (const CheckResult& result : results) {
    ++counts[static_cast<std::size_t>(result.finding.status)];
    text += fmt::format("  {:<{}}  {:<7}  {}\n", result.name, width, name(result.finding.status),
                        wrap(result.finding.reason, width + 13));
  }
  text += "\n";
  for (std::size_t i = 0; i < counts.size(); ++i) {
    text += fmt::format("{}{} {}", i == 0 ? "" : ", ", counts[i], kCheckStatuses[i].name);
  }
  return text + "\n";
}

nlohmann::ordered_json checks_json(std::span<const CheckResult> results) {
  nlohmann::ordered_json checks = nlohmann::ordered_json::array();
  for (const CheckResult& result : results) {
    checks.push_back({{"check", result.name},
                      {"asks", result.asks},
                      {"status", name(result.finding.status)},
                      {"reason", result.finding.reason}});
  }
  return checks;
}

}  // namespace toplens
