#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "base/name_table.h"

namespace toplens {

/// Fewer documents than this: nothing is estimable (theory.md 3).
inline constexpr std::size_t kLeastDocuments = 8;

/// Why a fitted quantity is NaN or a phase or decay absent.
enum class FitReason {
  estimated,
  too_few_documents,
  too_few_tokens,
  no_sink_visible,
  zero_norms,
  no_decay,
  decay_not_resolved,
  within_one_lag,
  longer_than_window,
  increasing,
  zero_weights,
  no_competitors,
  too_few_documents_for_oscillation,
  segment_too_short,
  no_common_period,
  held_out_error,
  not_recorded,
  no_prediction,
  not_measured,
  sink_not_selected,
  beyond_largest_size,
  too_few_tokens_for_norms,
  too_few_lags,
  too_few_tokens_for_profile,
  too_few_competitors,
  no_sink_threshold,
};

inline constexpr std::array<NamedKind<FitReason>, 26> kFitReasonNames = {{
    {FitReason::estimated, ""},
    {FitReason::too_few_documents, "not estimable: fewer than 8 documents"},
    {FitReason::too_few_tokens, "not defined: as many tokens selected as are visible, or more"},
    {FitReason::no_sink_visible, "not estimable: token 0 is outside the window"},
    {FitReason::zero_norms, "not estimable: the value vectors are zero"},
    {FitReason::no_decay, "no decay: the constant predicts held-out documents as well"},
    {FitReason::decay_not_resolved, "decay not resolved: bootstrap sd of log lambda above 0.5"},
    {FitReason::within_one_lag, "decay within one lag"},
    {FitReason::longer_than_window, "decay longer than the lags observed"},
    {FitReason::increasing, "similarity increases with distance"},
    {FitReason::zero_weights, "not estimable: attention weights are zero"},
    {FitReason::no_competitors, "not estimable: no unselected value or aggregate of positive norm"},
    {FitReason::too_few_documents_for_oscillation, "not tested: fewer than 16 documents"},
    {FitReason::segment_too_short, "not tested: too few tokens for three periods"},
    {FitReason::no_common_period, "absent: Hotelling's test on even documents, p >= 0.01"},
    {FitReason::held_out_error, "absent: cuts the held-out squared error by less than 5%"},
    {FitReason::not_recorded, "not recorded"},
    {FitReason::no_prediction, "not predicted: the ranking is random or by position"},
    {FitReason::not_measured, "not measured: inversions were not asked for (--metrics)"},
    {FitReason::sink_not_selected, "not defined: no document selects the sink, or N = 1"},
    {FitReason::beyond_largest_size, "above the largest set size"},
    {FitReason::too_few_tokens_for_norms, "not estimable: fewer than 3 visible tokens"},
    {FitReason::too_few_lags, "not estimable: fewer than 4 lags, which need 9 visible tokens"},
    {FitReason::too_few_tokens_for_profile, "not estimable: fewer than 9 visible tokens"},
    {FitReason::too_few_competitors,
     "not estimable: fewer than 8 documents with an unselected value of positive norm"},
    {FitReason::no_sink_threshold,
     "not defined: the sink has no weight, or no unselected one is below the other selected"},
}};

/// In words, empty where the quantity was estimated.
inline std::string_view describe(FitReason reason) { return name_in(kFitReasonNames, reason); }

}  // namespace toplens
