#pragma once

#include <stdexcept>

namespace toplens {

/// SIGINT or SIGTERM arrived: exit code 130.
class Interrupted : public std::runtime_error {
 public:
  Interrupted() : std::runtime_error("interrupted") {}
};

/// From now on the two signals are noted instead of ending the process; a second one ends it. A
/// file that grows beyond the limit on file sizes fails its write, with a message, instead of the
/// process.
void note_interrupts();
/// Throws Interrupted if one was noted.
void check_interrupt();

}  // namespace toplens
