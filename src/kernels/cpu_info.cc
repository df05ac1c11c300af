#include "kernels/cpu_info.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>

#include <fmt/format.h>

namespace toplens {
namespace {

/// Instructions that matrix products, conversions and kernels are chosen by, as Linux names them.
constexpr std::array<std::string_view, 26> kFeatures = {
    "sse4_1", "sse4_2", "avx", "f16c", "fma", "avx2", "avx_vnni", "avx512f", "avx512dq", "avx512bw",
    "avx512vl", "avx512cd", "avx512_vnni", "avx512_vbmi2", "avx512_bf16", "avx512_fp16", "amx_tile",
    "amx_int8", "amx_bf16",
    // ARM
    "asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve", "sve2"};

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") + 1 - first);
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> found;
  while (!(text = trimmed(text)).empty()) {
    found.push_back(text.substr(0, text.find_first_of(" \t")));
    text.remove_prefix(found.back().size());
  }
  return found;
}

}  // namespace

CpuInfo parse_cpu_info(std::string_view text) {
  CpuInfo info;
  std::string implementer, part;
  bool first = true;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::size_t colon = line.find(':');
    if (colon == line.npos) continue;
    const std::string_view key = trimmed(line.substr(0, colon));
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (key == "processor") {
      if (!first) break;
      first = false;
    } else if (key == "model name") {
      info.model = value;
    } else if (key == "CPU implementer") {
      implementer = value;
    } else if (key == "CPU part") {
      part = value;
    } else if (key == "flags" || key == "Features") {
      const std::vector<std::string_view> there = words(value);
      for (const std::string_view feature : kFeatures) {
        if (std::find(there.begin(), there.end(), feature) == there.end()) continue;
        info.features.emplace_back(feature);
      }
    }
  }
  // ARM's kernel gives numbers instead of a name.
  if (info.model.empty() && !implementer.empty()) {
    info.model = fmt::format("ARM implementer {}, part {}", implementer, part);
  }
  return info;
}

CpuInfo cpu_info() {
  std::ifstream file("/proc/cpuinfo");
  return parse_cpu_info(std::string(std::istreambuf_iterator<char>(file), {}));
}

}  // namespace toplens
