#pragma once

#include <cstdint>
#include <filesystem>

#include "parallel/thread_pool.h"

namespace toplens::bench {

/// Bytes per second on all threads, of arrays far larger than the caches.
struct MemoryRates {
  double read = 0;
  double triad = 0;  ///< a = b + s * c; 12 bytes an element, the write's own read not counted
};
MemoryRates memory_rates(ThreadPool& pool);

/// Bytes per second of reading the first `bytes` of a file.
struct MappingRates {
  double cold_read = 0;             ///< pread in blocks of 8 MiB after the page cache was dropped
  double cold_mapping = 0;          ///< through a fresh mapping after the page cache was dropped
  double warm_mapping = 0;          ///< through a fresh mapping, pages in the cache
  double resident_before_cold = 0;  ///< share of pages that stayed in the cache all the same
};
/// The cache is dropped with posix_fadvise(DONTNEED); a virtual machine's host may still hold the
/// file. Nobody else may have the file mapped.
MappingRates mapping_rates(ThreadPool& pool, const std::filesystem::path& file,
                           std::uint64_t bytes);

}  // namespace toplens::bench
