#include "io/mapping_guard.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <utility>

namespace toplens {
namespace {

// A signal handler can reach nothing but globals, and may take no lock: slots are published by
// their begin.
struct Slot {
  std::atomic<std::uintptr_t> begin{0}, end{0};
  std::atomic<bool> failed{false};
};

constexpr std::size_t kSlots = 4096;  // more files than that are mapped without a guard

struct Registry {
  std::array<Slot, kSlots> slots;
  std::mutex mutex;  ///< of those who add and remove; the handler only reads
  struct sigaction previous {};
  std::uintptr_t page_bytes = 4096;
};

Registry& registry() {
  static Registry instance;
  return instance;
}

void handle_sigbus(int signal, siginfo_t* info, void* context) {
  Registry& guarded = registry();
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  for (Slot& slot : guarded.slots) {
    const std::uintptr_t begin = slot.begin.load(std::memory_order_acquire);
    if (begin == 0 || address < begin || address >= slot.end.load(std::memory_order_relaxed)) {
      continue;
    }
    const std::uintptr_t page = address / guarded.page_bytes * guarded.page_bytes;
    void* zeros =
        ::mmap(reinterpret_cast<void*>(page),  // NOLINT(performance-no-int-to-ptr)
               guarded.page_bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (zeros == MAP_FAILED) break;
    slot.failed.store(true, std::memory_order_release);
    return;
  }
  // Not ours: hand it to whoever was there before; the instruction faults again under the default.
  if ((guarded.previous.sa_flags & SA_SIGINFO) != 0) {
    guarded.previous.sa_sigaction(signal, info, context);
    return;
  }
  ::sigaction(SIGBUS, &guarded.previous, nullptr);
}

void install_handler(Registry& guarded) {
  guarded.page_bytes = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  struct sigaction action {};
  action.sa_sigaction = handle_sigbus;
  action.sa_flags = SA_SIGINFO;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, &guarded.previous);
}

}  // namespace

MappingGuard::MappingGuard(std::span<const std::byte> range) {
  if (range.empty()) return;
  Registry& guarded = registry();
  const std::lock_guard lock(guarded.mutex);
  static const bool kInstalled = (install_handler(guarded), true);
  (void)kInstalled;
  for (std::size_t i = 0; i < guarded.slots.size(); ++i) {
    Slot& slot = guarded.slots[i];
    if (slot.begin.load(std::memory_order_relaxed) != 0) continue;
    const auto begin = reinterpret_cast<std::uintptr_t>(range.data());
    slot.failed.store(false, std::memory_order_relaxed);
    slot.end.store(begin + range.size(), std::memory_order_relaxed);
    slot.begin.store(begin, std::memory_order_release);
    slot_ = i;
    return;
  }
}

MappingGuard::~MappingGuard() {
  if (slot_ == kNone) return;
  registry().slots[slot_].begin.store(0, std::memory_order_release);
}

MappingGuard::MappingGuard(MappingGuard&& other) noexcept
    : slot_(std::exchange(other.slot_, kNone)) {}

MappingGuard& MappingGuard::operator=(MappingGuard&& other) noexcept {
  std::swap(slot_, other.slot_);
  return *this;
}

bool MappingGuard::failed() const {
  return slot_ != kNone && registry().slots[slot_].failed.load(std::memory_order_acquire);
}

}  // namespace toplens
