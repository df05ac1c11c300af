#include "io/system_error.h"

#include <fmt/core.h>
#include <toplens/error.h>

#include <cerrno>
#include <system_error>

namespace toplens {
namespace {

std::string_view advice(int error_number) {
  switch (error_number) {
    case ENOSPC:
      return " (free space there, or choose a place on another disk)";
    case EDQUOT:
      return " (remove files of yours there, or choose another place)";
    case EFBIG:
      return " (raise the limit on file sizes, ulimit -f, or choose a place that takes larger "
             "files)";
    default:
      return "";
  }
}

}  // namespace

void throw_system_error(const std::filesystem::path& path, std::string_view what,
                        int error_number) {
  throw Error(fmt::format("{}: {}: {}{}", path.string(), what,
                          std::generic_category().message(error_number), advice(error_number)));
}

}  // namespace toplens
