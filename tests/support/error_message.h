#pragma once

#include <gtest/gtest.h>
#include <toplens/error.h>

#include <string>

namespace toplens::testing {

/// The message of the Error that `action` throws, which must be one line; "" (and a failure) where
/// it throws none.
template <typename Action>
std::string error_message(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(message.find('\n'), message.npos) << message;
    return message;
  }
  ADD_FAILURE() << "expected an Error, nothing was thrown";
  return "";
}

}  // namespace toplens::testing
