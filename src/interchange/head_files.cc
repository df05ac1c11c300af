#include "interchange/head_files.h"

#include <cmath>

#include <fmt/format.h>
#include <toplens/error.h>

#include "interchange/duo_attention.h"
#include "interchange/minference.h"
#include "interchange/retrieval_scores.h"
#include "io/atomic_file.h"
#include "io/json_text.h"
#include "io/npy.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kDuoAttentionFile = "full_attention_heads.tsv";

HeadScores read_npy(const fs::path& path, const HeadLayout& model) {
  const NpyNumbers array = read_npy_numbers(path);
  const std::string where = path.string();
  const auto is = [](std::uint64_t found, int expected) {
    return found == static_cast<std::uint64_t>(expected);
  };
  if (array.shape.size() != 2 || !is(array.shape[0], model.layers) ||
      !(is(array.shape[1], model.kv_heads) || is(array.shape[1], model.query_heads))) {
    throw Error(fmt::format(
        "{}: shape [{}] found, but the model has {} layers of {} KV heads and {} query heads",
        where, fmt::join(array.shape, ", "), model.layers, model.kv_heads, model.query_heads));
  }
  HeadScores scores;
  scores.kind = is(array.shape[1], model.kv_heads) ? HeadKind::kv : HeadKind::query;
  scores.layers = model.layers;
  scores.heads = static_cast<int>(array.shape[1]);
  scores.values = array.values;
  for (std::size_t i = 0; i < scores.values.size(); ++i) {
    if (!std::isfinite(scores.values[i])) {
      throw Error(fmt::format("{}: element [{}, {}] is {}, expected a finite number", where,
                              i / array.shape[1], i % array.shape[1], scores.values[i]));
    }
  }
  return scores;
}

HeadScores read_text(const fs::path& path, HeadFileFormat format) {
  const std::string text = read_text_file(path, kLargestJsonFile);
  switch (format) {
    case HeadFileFormat::head_scores:
      return parse_retrieval_scores(text, path.string());
    case HeadFileFormat::minference:
      return parse_minference(text, path.string()).scores();
    default:
      return parse_duo_attention_tsv(text, path.string());
  }
}

}  // namespace

HeadFileFormat detect_head_file(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    if (fs::exists(path / kDuoAttentionFile, ignored)) return HeadFileFormat::duo_attention;
    throw Error(fmt::format("{}: the directory has no {}", path.string(), kDuoAttentionFile));
  }
  const std::string extension = path.extension().string();
  if (extension == ".tsv") return HeadFileFormat::duo_attention;
  if (extension == ".npy") return HeadFileFormat::npy;
  if (extension == ".json") {
    const std::string text = read_text_file(path, kLargestJsonFile);
    const std::size_t first = text.find_first_not_of(" \t\r\n");
    return first != text.npos && text[first] == '[' ? HeadFileFormat::minference
                                                    : HeadFileFormat::head_scores;
  }
  throw Error(fmt::format(
      "{}: not known as a head file; expected a directory with {}, or a .tsv, .json or .npy file",
      path.string(), kDuoAttentionFile));
}

HeadScores read_head_file(const fs::path& path, HeadFileFormat format, const HeadLayout& model) {
  if (format == HeadFileFormat::npy) return read_npy(path, model);
  std::error_code ignored;
  const bool in_directory =
      format == HeadFileFormat::duo_attention && fs::is_directory(path, ignored);
  const fs::path file = in_directory ? path / kDuoAttentionFile : path;
  HeadScores scores = read_text(file, format);
  check_sizes(scores, model, file.string());
  return scores;
}

}  // namespace toplens
