#pragma once

#include "model/config_reader.h"

namespace toplens {

/// Looks at the keys of config.json that nobody has read: passes those known to be harmless and
/// those that have their one accepted value. Throws Error for the others.
void check_unread_keys(ConfigReader& config, std::string_view architecture);

}  // namespace toplens
