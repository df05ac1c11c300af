#include "io/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "io/system_error.h"
#include "io/temporary_file.h"

namespace toplens {

void write_file_atomically(const std::filesystem::path& path, std::string_view contents) {
  TemporaryFile file(path);
  file.write(0, contents.data(), contents.size());
  file.publish();
}

void write_file_atomically(const std::filesystem::path& path,
                           const std::function<void(const std::filesystem::path&)>& write) {
  TemporaryFile file(path);
  write(file.path());
  file.publish();
}

std::string read_text_file(const std::filesystem::path& path) {
  // read() rather than a stream: it tells why it failed, and it reads pipes too.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw_system_error(path, "cannot open", errno);
  std::string text;
  std::array<char, 1 << 16> buffer;
  ssize_t count = 0;
  do {
    count = ::read(descriptor, buffer.data(), buffer.size());
    if (count > 0) text.append(buffer.data(), static_cast<std::size_t>(count));
  } while (count > 0 || (count < 0 && errno == EINTR));
  const int reason = count < 0 ? errno : 0;
  ::close(descriptor);
  if (reason != 0) throw_system_error(path, "cannot read", reason);
  return text;
}

}  // namespace toplens
