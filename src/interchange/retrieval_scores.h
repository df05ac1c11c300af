#pragma once

#include <string>
#include <string_view>

#include "interchange/head_scores.h"

namespace toplens {

/// The one-line JSON of retrieval scores, {"layer-head": [scores]} by query head (Wu et al. 2024,
/// arXiv:2404.15574, github.com/nightdessert/Retrieval_Head; HeadKV, arXiv:2410.19258). A head's
/// score is the mean of its list, as both compute it. Every head from 0-0 on must be there.
/// Errors name the key.
HeadScores parse_retrieval_scores(std::string_view text, const std::string& where);

/// One line, a list of one number for each head. In increasing order, because HeadKV takes the keys
/// in the order of the file. Needs finite scores of query heads.
std::string retrieval_scores_json(const HeadScores& scores);

}  // namespace toplens
