#include "io/system_error.h"

#include <fmt/core.h>
#include <toplens/error.h>

#include <system_error>

namespace toplens {

void throw_system_error(const std::filesystem::path& path, std::string_view what,
                        int error_number) {
  throw Error(fmt::format("{}: {}: {}", path.string(), what,
                          std::generic_category().message(error_number)));
}

}  // namespace toplens
