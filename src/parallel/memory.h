#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace toplens {

/// "512MiB", "8GiB", "1.5GB", "4096" (bytes). Throws Error naming the text and the accepted forms.
std::uint64_t parse_bytes(std::string_view text);
/// "3.2 GiB", "640 KiB": for people.
std::string format_bytes(std::uint64_t bytes);

/// Memory that the machine, or the cgroup that this process lives in, could still give.
std::uint64_t available_memory_bytes();

/// Of this process, from /proc/self/status.
struct ProcessMemory {
  std::uint64_t peak_resident_bytes = 0;  ///< VmHWM: includes mapped weights
  std::uint64_t anonymous_bytes = 0;      ///< RssAnon now: without them
};
ProcessMemory process_memory();

}  // namespace toplens
