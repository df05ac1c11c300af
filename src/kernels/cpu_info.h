#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace toplens {

/// What of a processor decides the last bits of results: libraries choose their arithmetic by it.
struct CpuInfo {
  std::string model;                  ///< "Intel(R) Xeon(R) ..."; empty where the system names none
  std::vector<std::string> features;  ///< of a fixed list ("avx2", "fma", ...), in its order
};

/// Of this machine, as Linux tells; empty where it does not.
CpuInfo cpu_info();

/// The first processor of a /proc/cpuinfo text, of x86-64 or ARM. Never throws: what is not there
/// stays empty.
CpuInfo parse_cpu_info(std::string_view text);

}  // namespace toplens
