#pragma once

#include <map>
#include <string>

namespace toplens {

/// Versions of the libraries that numbers and files of a run come from: "oneDNN" -> "2.6.3".
std::map<std::string, std::string> library_versions();

}  // namespace toplens
