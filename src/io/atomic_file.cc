#include "io/atomic_file.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <toplens/error.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

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

std::string read_text_file(const std::filesystem::path& path, std::uint64_t most_bytes) {
  const auto check_size = [&](std::uint64_t bytes) {
    if (bytes <= most_bytes) return;
    throw Error(fmt::format("{}: has more than {} bytes, the most that is read of such a file",
                            path.string(), most_bytes));
  };
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (!error) check_size(size);  // pipes have none
  std::string text;
  read_in_pieces(path, [&](std::string_view piece) {
    check_size(text.size() + piece.size());
    text += piece;
  });
  return text;
}

void read_in_pieces(const std::filesystem::path& path,
                    const std::function<void(std::string_view piece)>& read) {
  // read() rather than a stream: it tells why it failed, and it reads pipes too.
  class Descriptor {
   public:
    explicit Descriptor(const std::filesystem::path& path)
        : number_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
      if (number_ < 0) throw_system_error(path, "cannot open", errno);
    }
    ~Descriptor() { ::close(number_); }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    int number() const { return number_; }

   private:
    int number_;
  };
  const Descriptor file(path);
  std::vector<char> buffer(std::size_t{1} << 16);
  while (true) {
    const ssize_t count = ::read(file.number(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw_system_error(path, "cannot read", errno);
    if (count == 0) return;
    read(std::string_view(buffer.data(), static_cast<std::size_t>(count)));
  }
}

}  // namespace toplens
