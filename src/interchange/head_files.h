#pragma once

#include <array>
#include <filesystem>
#include <string_view>

#include "base/name_table.h"
#include "interchange/head_scores.h"

namespace toplens {

/// The files of numbers by head that other projects read and write.
enum class HeadFileFormat { duo_attention, head_scores, minference, npy };

inline constexpr std::array<NamedKind<HeadFileFormat>, 4> kHeadFileFormatNames = {{
    {HeadFileFormat::duo_attention, "duo-attention"},
    {HeadFileFormat::head_scores, "head-scores"},
    {HeadFileFormat::minference, "minference"},
    {HeadFileFormat::npy, "npy"},
}};

inline std::string_view name(HeadFileFormat format) {
  return name_in(kHeadFileFormatNames, format);
}
/// Throws Error listing the valid names.
inline HeadFileFormat parse_head_file_format(std::string_view text) {
  return parse_name(kHeadFileFormatNames, "format of a head file", text);
}

/// What a path is: a directory with full_attention_heads.tsv or a .tsv file is duo-attention, .npy
/// is npy, .json is minference if it begins with a list and head-scores else. Throws Error listing
/// these.
HeadFileFormat detect_head_file(const std::filesystem::path& path);

/// The numbers of a head file of this model: DuoAttention's by KV head, retrieval scores and kept
/// tokens of MInference by query head, a .npy array [layers, heads] of numbers by whichever of the
/// two fits (KV heads where both do). Throws Error where the file is malformed or its sizes are not
/// the model's.
HeadScores read_head_file(const std::filesystem::path& path, HeadFileFormat format,
                          const HeadLayout& model);
inline HeadScores read_head_file(const std::filesystem::path& path, const HeadLayout& model) {
  return read_head_file(path, detect_head_file(path), model);
}

}  // namespace toplens
