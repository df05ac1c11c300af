// Loaded into the tool by LD_PRELOAD: kills it in the middle of its Nth call of pwrite(), of which
// half is done, or just before its Nth rename(), both counted together. N is in
// TOPLENS_TEST_DIE_AT.

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

namespace {

bool is_the_last_call() {
  static std::atomic<long> calls{0};
  const char* last = ::getenv("TOPLENS_TEST_DIE_AT");
  return last != nullptr && ++calls == ::atol(last);
}

void die() { ::kill(::getpid(), SIGKILL); }

}  // namespace

extern "C" ssize_t pwrite(int file, const void* data, size_t bytes, off_t offset) {
  if (is_the_last_call()) {
    ::syscall(SYS_pwrite64, file, data, bytes / 2, offset);
    die();
  }
  return ::syscall(SYS_pwrite64, file, data, bytes, offset);
}

extern "C" ssize_t pwrite64(int file, const void* data, size_t bytes, off64_t offset) {
  return pwrite(file, data, bytes, offset);
}

extern "C" int rename(const char* from, const char* to) noexcept {
  if (is_the_last_call()) die();
  return static_cast<int>(::syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to));
}
