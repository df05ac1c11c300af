#pragma once

#include <string>
#include <vector>

/// Leaks are looked for when the process ends, not after each input as libFuzzer does by itself
/// where memory was allocated that is not free yet: HDF5's caches always are such, and a look takes
/// a quarter of a second. To be included by a target's file alone.
extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
  static std::string flag = "-detect_leaks=0";
  static std::vector<char*> extended(*arguments, *arguments + *count);
  extended.push_back(flag.data());
  ++*count;
  extended.push_back(nullptr);
  *arguments = extended.data();
  return 0;
}
