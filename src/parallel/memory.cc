#include "parallel/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <utility>

#include <toplens/error.h>

namespace toplens {
namespace {

constexpr std::array<std::pair<std::string_view, double>, 10> kUnits = {{
    {"", 1.0},
    {"B", 1.0},
    {"KiB", 1024.0},
    {"MiB", 1048576.0},
    {"GiB", 1073741824.0},
    {"TiB", 1099511627776.0},
    {"KB", 1e3},
    {"MB", 1e6},
    {"GB", 1e9},
    {"TB", 1e12},
}};

/// The value in bytes of a line "Name:   123 kB" of a file of /proc.
std::optional<std::uint64_t> proc_kilobytes(const char* file, std::string_view name) {
  std::ifstream in(file);
  std::string line;
  while (std::getline(in, line)) {
    if (line.compare(0, name.size(), name) != 0 || line[name.size()] != ':') continue;
    std::istringstream fields(line.substr(name.size() + 1));
    std::uint64_t kilobytes = 0;
    if (fields >> kilobytes) return kilobytes * 1024;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> number_in_file(const std::string& file) {
  std::ifstream in(file);
  std::uint64_t value = 0;
  if (in >> value) return value;
  return std::nullopt;
}

/// What the process's cgroup still allows: version 2, then version 1.
std::optional<std::uint64_t> cgroup_headroom() {
  std::ifstream in("/proc/self/cgroup");
  std::string line;
  std::string unified, memory;
  while (std::getline(in, line)) {
    if (line.rfind("0::", 0) == 0) unified = line.substr(3);
    const std::size_t at = line.find(":memory:");
    if (at != std::string::npos) memory = line.substr(at + 8);
  }
  const auto headroom = [](const std::string& directory, const char* limit_name,
                           const char* used_name) -> std::optional<std::uint64_t> {
    const auto limit = number_in_file(directory + limit_name);
    const auto used = number_in_file(directory + used_name);
    if (!limit || !used) return std::nullopt;
    return *limit > *used ? *limit - *used : 0;
  };
  if (!unified.empty()) {
    const auto room = headroom("/sys/fs/cgroup" + unified + "/", "memory.max", "memory.current");
    if (room) return room;
  }
  if (!memory.empty()) {
    return headroom("/sys/fs/cgroup/memory" + memory + "/", "memory.limit_in_bytes",
                    "memory.usage_in_bytes");
  }
  return std::nullopt;
}

}  // namespace

std::uint64_t parse_bytes(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (error == std::errc() && value >= 0) {
    for (const auto& [name, factor] : kUnits) {
      const double bytes = value * factor;
      if (unit == name && bytes < 9.2e18) return static_cast<std::uint64_t>(bytes);
    }
  }
  throw Error(
      fmt::format("'{}' is not a memory size; expected a number with B, KiB, MiB, GiB, TiB, "
                  "KB, MB, GB or TB, as in 8GiB",
                  text));
}

std::string format_bytes(std::uint64_t bytes) {
  const std::array<const char*, 5> units = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes)
                   : fmt::format("{:.{}f} {}", value, value < 10 ? 1 : 0, units[unit]);
}

std::uint64_t available_memory_bytes() {
  std::uint64_t available = proc_kilobytes("/proc/meminfo", "MemAvailable")
                                .value_or(std::numeric_limits<std::uint64_t>::max());
  if (const auto headroom = cgroup_headroom()) available = std::min(available, *headroom);
  return available;
}

ProcessMemory process_memory() {
  ProcessMemory memory;
  memory.peak_resident_bytes = proc_kilobytes("/proc/self/status", "VmHWM").value_or(0);
  memory.anonymous_bytes = proc_kilobytes("/proc/self/status", "RssAnon").value_or(0);
  return memory;
}

}  // namespace toplens
