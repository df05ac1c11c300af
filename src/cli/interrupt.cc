#include "cli/interrupt.h"

#include <csignal>

namespace toplens {
namespace {

// A signal handler can reach nothing else.
volatile std::sig_atomic_t interrupt_noted = 0;

extern "C" void note_interrupt(int signal) {
  interrupt_noted = 1;
  std::signal(signal, SIG_DFL);
}

}  // namespace

void note_interrupts() {
  std::signal(SIGINT, note_interrupt);
  std::signal(SIGTERM, note_interrupt);
  std::signal(SIGXFSZ, SIG_IGN);
}

void check_interrupt() {
  if (interrupt_noted != 0) throw Interrupted();
}

}  // namespace toplens
