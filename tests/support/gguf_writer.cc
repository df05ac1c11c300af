#include "support/gguf_writer.h"

#include <gtest/gtest.h>

#include "support/command.h"
#include "support/shared_data.h"

namespace toplens::testing {

void write_gguf(const std::filesystem::path& checkpoint, const std::filesystem::path& out,
                const std::vector<std::string>& arguments) {
  std::vector<std::string> all = {"-B", source_directory() / "tests/support/write_gguf.py",
                                  checkpoint, out};
  all.insert(all.end(), arguments.begin(), arguments.end());
  const CommandResult result = run_command("/usr/bin/python3", all);
  ASSERT_EQ(result.exit_code, 0) << result.err;
}

}  // namespace toplens::testing
