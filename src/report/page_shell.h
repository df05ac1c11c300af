#pragma once

#include <string_view>

namespace toplens {

/// The page without data: template.html with its style, script, figure specifications and the
/// libraries that draw them, put together by assemble.mjs when toplens is built. @REPORT_TITLE@ and
/// @REPORT_DATA@ stand where the title and the data go.
std::string_view page_shell();

}  // namespace toplens
