#pragma once

#include <stdexcept>
#include <string>

namespace toplens {

/// The one exception of the library: an operation could not be done. what() is one line that says
/// what failed, where (file, tensor, line), what was found and what was expected.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

}  // namespace toplens
