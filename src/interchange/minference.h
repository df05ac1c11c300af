#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/name_table.h"
#include "interchange/head_scores.h"

namespace toplens {

/// The sparse patterns of MInference (Jiang et al. 2024, arXiv:2407.02490).
enum class MInferenceKind { vertical_and_slash, stream_llm, block_sparse };

inline constexpr std::array<NamedKind<MInferenceKind>, 3> kMInferenceKindNames = {{
    {MInferenceKind::vertical_and_slash, "vertical_and_slash"},
    {MInferenceKind::stream_llm, "stream_llm"},
    {MInferenceKind::block_sparse, "block_sparse"},
}};

/// One head: ["vertical_and_slash", 1000, 6096, 336.0].
struct MInferenceHead {
  MInferenceKind kind = MInferenceKind::vertical_and_slash;
  int vertical_size = 0;  ///< columns (stream_llm: first tokens; block_sparse: not used)
  int slash_size = 0;     ///< diagonals (stream_llm: most recent tokens; block_sparse: not used)
  double score = 0.0;     ///< what the search measured; the engine ignores it

  /// Keys that a query of a long text sees: columns and diagonals together, first and recent tokens
  /// together, or the engine's fixed 100 blocks of 64.
  int kept_tokens() const;
};

/// The pattern of every query head.
struct MInferencePatterns {
  int layers = 0;
  int heads = 0;                      ///< query heads of a layer
  std::vector<MInferenceHead> table;  ///< [layer * heads + head]

  /// kept_tokens() of each.
  HeadScores scores() const;
};

/// MInference's best_pattern file: a list over layers of {"head": [pattern, number, number, score]}
/// (minference/configs of github.com/microsoft/MInference). Errors name layer and head.
MInferencePatterns parse_minference(std::string_view text, const std::string& where);

/// One line.
std::string minference_json(const MInferencePatterns& patterns);

}  // namespace toplens
