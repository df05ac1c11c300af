#include "bench/memory_ceiling.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/aligned_vector.h"
#include "bench/report.h"
#include "bench/stopwatch.h"
#include "io/mapped_file.h"
#include "io/system_error.h"

namespace toplens::bench {
namespace {

constexpr std::size_t kArrayBytes = std::size_t{256} << 20;
constexpr std::size_t kPieceBytes = std::size_t{4} << 20;
constexpr int kRepeats = 5;

/// Results go here so that no compiler drops the reading.
std::atomic<std::uint64_t> sink{0};

void read_words(const std::byte* from, std::size_t bytes) {
  const auto* words = reinterpret_cast<const std::uint64_t*>(from);
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < bytes / sizeof(std::uint64_t); ++i) sum += words[i];
  sink += sum;
}

/// Reads all pieces, in order, on all threads.
double read_seconds(ThreadPool& pool, const std::byte* from, std::size_t bytes) {
  return seconds_of([&] {
    pool.parallel_for((bytes + kPieceBytes - 1) / kPieceBytes, [&](std::size_t piece, int) {
      const std::size_t first = piece * kPieceBytes;
      read_words(from + first, std::min(kPieceBytes, bytes - first));
    });
  });
}

class OpenFile {
 public:
  explicit OpenFile(const std::filesystem::path& path)
      : path_(path), descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (descriptor_ < 0) throw_system_error(path, "cannot open", errno);
  }
  ~OpenFile() { ::close(descriptor_); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  void drop_cache() const {
    ::fsync(descriptor_);  // dirty pages are not dropped
    const int reason = ::posix_fadvise(descriptor_, 0, 0, POSIX_FADV_DONTNEED);
    if (reason != 0) throw_system_error(path_, "cannot drop the page cache", reason);
  }
  /// Seconds of reading the first `bytes` in pieces, in order, on all threads.
  double read_all(ThreadPool& pool, std::size_t bytes) const {
    std::vector<std::vector<char>> buffers(static_cast<std::size_t>(pool.size()));
    for (std::vector<char>& buffer : buffers) buffer.resize(kPieceBytes);
    return seconds_of([&] {
      pool.parallel_for((bytes + kPieceBytes - 1) / kPieceBytes, [&](std::size_t piece,
                                                                     int worker) {
        std::vector<char>& buffer = buffers[static_cast<std::size_t>(worker)];
        const std::size_t end = std::min(bytes, (piece + 1) * kPieceBytes);
        for (std::size_t at = piece * kPieceBytes; at < end;) {
          const ssize_t got = ::pread(descriptor_, buffer.data(), end - at, static_cast<off_t>(at));
          if (got <= 0) throw_system_error(path_, "cannot read", got < 0 ? errno : EIO);
          at += static_cast<std::size_t>(got);
        }
      });
    });
  }

 private:
  std::filesystem::path path_;
  int descriptor_;
};

double resident_share(const std::byte* from, std::size_t bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> pages((bytes + page - 1) / page);
  if (::mincore(const_cast<std::byte*>(from), bytes, pages.data()) != 0) return 1.0;
  std::size_t resident = 0;
  for (const unsigned char state : pages) resident += state & 1u;
  return static_cast<double>(resident) / static_cast<double>(pages.size());
}

}  // namespace

MemoryRates memory_rates(ThreadPool& pool) {
  const std::size_t elements = kArrayBytes / sizeof(float);
  const std::size_t piece = kPieceBytes / sizeof(float);
  AlignedVector<float> a(elements, 0.0f), b(elements, 1.0f), c(elements, 2.0f);
  const auto triad = [&] {
    pool.parallel_for(elements / piece, [&](std::size_t task, int) {
      for (std::size_t i = task * piece; i < (task + 1) * piece; ++i) a[i] = b[i] + 3.0f * c[i];
    });
  };
  std::vector<double> reads, triads;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    triads.push_back(3.0 * static_cast<double>(kArrayBytes) / seconds_of(triad));
    reads.push_back(static_cast<double>(kArrayBytes) /
                    read_seconds(pool, reinterpret_cast<const std::byte*>(b.data()), kArrayBytes));
  }
  sink += static_cast<std::uint64_t>(a[elements / 2]);
  return {median(reads), median(triads)};
}

MappingRates mapping_rates(ThreadPool& pool, const std::filesystem::path& path,
                           std::uint64_t bytes) {
  const OpenFile file(path);
  MappingRates rates;
  const auto size =
      static_cast<std::size_t>(std::min<std::uint64_t>(bytes, std::filesystem::file_size(path)));
  const auto wide = static_cast<double>(size);
  std::vector<double> reads, mappings, resident;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    file.drop_cache();
    reads.push_back(wide / file.read_all(pool, size));
    file.drop_cache();
    const MappedFile mapped(path);
    resident.push_back(resident_share(mapped.bytes().data(), size));
    mappings.push_back(wide / read_seconds(pool, mapped.bytes().data(), size));
  }
  rates.cold_read = median(reads);
  rates.cold_mapping = median(mappings);
  rates.resident_before_cold = median(resident);
  std::vector<double> warm;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    const MappedFile mapped(path);
    warm.push_back(wide / read_seconds(pool, mapped.bytes().data(), size));
  }
  rates.warm_mapping = median(warm);
  return rates;
}

}  // namespace toplens::bench
