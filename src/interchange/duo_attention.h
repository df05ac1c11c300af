#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "interchange/head_scores.h"

namespace toplens {

/// The streaming heads of DuoAttention keep the first `sink_size` and the last `recent_size`
/// tokens. The defaults are those of its published patterns.
struct DuoAttentionCache {
  int sink_size = 128;
  int recent_size = 256;
};

/// DuoAttention's pattern (Xiao et al. 2024, arXiv:2410.10819; `load_attn_pattern` of
/// github.com/mit-han-lab/duo-attention): one line for each layer, one number for each KV head,
/// between tabs; 1 is a head that needs the full cache, 0 one that streams. Numbers are kept as
/// they are; DuoAttention itself clips them to [0, 1]. Errors name line and column.
HeadScores parse_duo_attention_tsv(std::string_view text, const std::string& where);
/// sink_size and recent_size of its config.json; other keys there are those of its training.
DuoAttentionCache parse_duo_attention_config(std::string_view text, const std::string& where);

/// As numpy.savetxt writes it: %.18e, tabs. Needs finite scores of KV heads.
std::string duo_attention_tsv(const HeadScores& scores);
std::string duo_attention_config(const DuoAttentionCache& cache);

/// Writes full_attention_heads.tsv and config.json into a directory that exists.
void write_duo_attention(const std::filesystem::path& directory, const HeadScores& scores,
                         const DuoAttentionCache& cache);

}  // namespace toplens
