#include "report/page_shell.h"

// The file lies in the build directory; cmake/report.cmake makes it and says where it is.
asm(R"(
  .pushsection .rodata.toplens_page_shell, "a"
  .globl toplens_page_shell_begin
  .globl toplens_page_shell_end
toplens_page_shell_begin:
  .incbin ")" TOPLENS_PAGE_SHELL R"("
toplens_page_shell_end:
  .byte 0
  .popsection
)");

extern "C" {
extern const char toplens_page_shell_begin[];  // NOLINT(readability-identifier-naming)
extern const char toplens_page_shell_end[];    // NOLINT(readability-identifier-naming)
}

namespace toplens {

std::string_view page_shell() {
  return {toplens_page_shell_begin,
          static_cast<std::size_t>(toplens_page_shell_end - toplens_page_shell_begin)};
}

}  // namespace toplens
