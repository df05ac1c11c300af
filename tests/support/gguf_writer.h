#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace toplens::testing {

/// Runs write_gguf.py: `checkpoint` as a GGUF file, with further arguments of the script ("--type",
/// "Q8_0"). A failure of the script is a failure of the test.
void write_gguf(const std::filesystem::path& checkpoint, const std::filesystem::path& out,
                const std::vector<std::string>& arguments = {});

}  // namespace toplens::testing
