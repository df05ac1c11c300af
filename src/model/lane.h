#pragma once

#include <cstdint>
#include <span>

namespace toplens {

/// One document on its way through the layers.
struct Lane {
  std::span<const std::int32_t> token_ids;
};

}  // namespace toplens
