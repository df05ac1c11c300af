#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

namespace toplens::testing {

/// What a head of the planted checkpoint attends, by construction of its weights.
enum class PlantedKind {
  retriever,  ///< the earlier occurrence of the query's token; BOS where there is none
  mixer,      ///< everything alike
  reset,      ///< BOS, whose value is tiny
  previous,   ///< the token before the query
  induction,  ///< what followed the earlier occurrence of the query's token; BOS else
};

inline constexpr std::int32_t kPlantedTokens = 64;  ///< ids 0 .. 63; 64 is BOS
inline constexpr std::int32_t kPlantedBos = 64;

/// Writes a LLaMA of two layers. Its layers attend as asked; the first `previous` head of layer 0
/// tells every token its predecessor, which induction heads of layer 1 need. `kinds[layer]` are
/// its query heads, `kv_heads` divides their number.
void write_planted(const std::filesystem::path& directory,
                   const std::array<std::vector<PlantedKind>, 2>& kinds, int kv_heads);

}  // namespace toplens::testing
