#pragma once

#include <string>

#include <toplens/error.h>

namespace toplens {

/// The command line itself is wrong: exit code 2 instead of 1.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// Runs a parser of the library on something from the command line; its Error becomes a UsageError.
template <typename Function>
auto from_command_line(const Function& function) {
  try {
    return function();
  } catch (const UsageError&) {
    throw;
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
}

}  // namespace toplens
