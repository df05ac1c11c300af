#include "results/profiles_dataset.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>

#include "statistics/moments.h"

namespace toplens {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr std::size_t kAlone = 16;

/// Appends the edges of [begin, end) in at most `most` equal bins, without `end`.
void append_equal(std::vector<std::size_t>& edges, std::size_t begin, std::size_t end,
                  std::size_t most) {
  const std::size_t count = std::min(most, end - begin);
  for (std::size_t i = 0; i < count; ++i) edges.push_back(begin + i * (end - begin) / count);
}

std::vector<double> centres(const Bins& bins) {
  std::vector<double> labels;
  for (std::size_t i = 0; i < bins.size(); ++i) {
    labels.push_back(0.5 * static_cast<double>(bins.edges[i] + bins.edges[i + 1] - 1));
  }
  return labels;
}

void add_bins(Dataset& dataset, const std::string& name, const Bins& bins,
              std::string_view long_name) {
  dataset.add_coordinate(name, centres(bins), describe("tokens", long_name));
  dataset.add_variable(
      name + "_begin", {name},
      std::vector<std::int64_t>(bins.edges.begin(), bins.edges.begin() + bins.size()),
      describe("tokens", "first of the bin"));
  dataset.add_variable(name + "_end", {name},
                       std::vector<std::int64_t>(bins.edges.begin() + 1, bins.edges.end()),
                       describe("tokens", "one behind the last of the bin"));
}

std::vector<std::int32_t> count_from_zero(std::size_t count) {
  std::vector<std::int32_t> labels(count);
  std::iota(labels.begin(), labels.end(), 0);
  return labels;
}

/// Means over documents of a quantity's mean in each bin, and its standard deviation between them.
/// A document without a defined element in a bin does not count there.
struct BinnedCurve {
  std::vector<float> mean, between;
};

/// `value(document, i)` for the positions or lags i of the bins, NaN where it is not defined.
template <typename Value>
void append_curve(BinnedCurve& curve, const Bins& bins, std::size_t documents, const Value& value) {
  std::vector<double> means;
  for (std::size_t bin = 0; bin < bins.size(); ++bin) {
    means.clear();
    for (std::size_t d = 0; d < documents; ++d) {
      double sum = 0.0;
      std::size_t count = 0;
      for (std::size_t i = bins.edges[bin]; i < bins.edges[bin + 1]; ++i) {
        const double x = value(d, i);
        if (std::isnan(x)) continue;
        sum += x;
        ++count;
      }
      if (count > 0) means.push_back(sum / static_cast<double>(count));
    }
    curve.mean.push_back(means.empty() ? kNan : static_cast<float>(mean(means)));
    curve.between.push_back(static_cast<float>(standard_deviation(means)));
  }
}

Attributes nan_means(Attributes attributes, std::string_view reason) {
  attributes["reason"] = std::string(reason);
  return attributes;
}

void add_curve(Dataset& dataset, const std::string& name, std::vector<std::string> dimensions,
               BinnedCurve curve, std::string_view units, const std::string& long_name) {
  constexpr std::string_view kAbsent = "NaN: no visible token of positive norm or weight there";
  dataset.add_variable(name, dimensions, std::move(curve.mean),
                       nan_means(describe(units, long_name + ", mean over documents"), kAbsent));
  dataset.add_variable(name + "_between", std::move(dimensions), std::move(curve.between),
                       nan_means(describe(units, "standard deviation between documents of " + name),
                                 "NaN: fewer than two documents have it"));
}

void add_norms(Dataset& dataset, const AssumptionView& records, const Bins& bins) {
  BinnedCurve curve;
  for (std::size_t layer = 0; layer < records.shape.layers; ++layer) {
    const std::size_t first = records.first_token(layer);
    for (std::size_t kv_head = 0; kv_head < records.shape.kv_heads; ++kv_head) {
      append_curve(curve, bins, records.shape.documents, [&](std::size_t d, std::size_t i) {
        return i < first ? kNan : records.norms_of(d, layer, kv_head)[i - first];
      });
    }
  }
  add_curve(dataset, "value_norm", {"layer", "kv_head", "position"}, std::move(curve), "1",
            "norm of the value vectors");
}

void add_similarities(Dataset& dataset, const AssumptionView& records,
                      std::span<const HeadFit> fits, const Bins& bins) {
  const RecordedShape& shape = records.shape;
  BinnedCurve curve;
  std::vector<float> fitted;
  for (std::size_t layer = 0; layer < shape.layers; ++layer) {
    for (std::size_t kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
      append_curve(curve, bins, shape.documents, [&](std::size_t d, std::size_t lag) {
        const std::span<const float> cosines = records.lag_cosines_of(d, layer, kv_head);
        return lag <= cosines.size() ? cosines[lag - 1] : kNan;
      });
      const std::size_t head = layer * shape.heads + kv_head * (shape.heads / shape.kv_heads);
      const SimilarityFit& fit = fits[head].values.similarity;
      for (std::size_t bin = 0; bin < bins.size(); ++bin) {
        double sum = 0.0;
        for (std::size_t lag = bins.edges[bin]; lag < bins.edges[bin + 1]; ++lag) {
          sum += fit.similarity(static_cast<double>(lag));
        }
        const std::size_t width = bins.edges[bin + 1] - bins.edges[bin];
        fitted.push_back(fit.reason == FitReason::estimated
                             ? static_cast<float>(sum / static_cast<double>(width))
                             : kNan);
      }
    }
  }
  const std::vector<std::string> dimensions = {"layer", "kv_head", "lag"};
  add_curve(dataset, "similarity", dimensions, std::move(curve), "1",
            "mean cosine of the values of two tokens so far apart, without token 0");
  dataset.add_variable(
      "similarity_fit", dimensions, std::move(fitted),
      nan_means(describe("1", "phi(k) = b + A exp(-k / lambda) as fitted (theory.md (10))"),
                "heads.nc: similarity_reason"));
}

void add_weights(Dataset& dataset, const AssumptionView& records, std::span<const HeadFit> fits,
                 const Bins& bins) {
  const RecordedShape& shape = records.shape;
  BinnedCurve weights, logarithms;
  std::vector<float> fitted;
  for (std::size_t layer = 0; layer < shape.layers; ++layer) {
    const std::size_t first = records.first_token(layer);
    for (std::size_t head = 0; head < shape.heads; ++head) {
      const auto weight = [&](std::size_t d, std::size_t i) {
        return i < first ? kNan : records.weights_of(d, layer, head)[i - first];
      };
      append_curve(weights, bins, shape.documents, weight);
      append_curve(logarithms, bins, shape.documents, [&](std::size_t d, std::size_t i) {
        const float a = weight(d, i);
        return a > 0.0f ? std::log(a) : kNan;
      });
      const std::optional<AttentionProfile>& profile =
          fits[layer * shape.heads + head].profile.profile;
      for (std::size_t bin = 0; bin < bins.size(); ++bin) {
        double sum = 0.0;
        std::size_t count = 0;
        for (std::size_t i = std::max(first, bins.edges[bin]); i < bins.edges[bin + 1]; ++i) {
          if (profile) sum += profile->log_weight(static_cast<int>(i - first));
          ++count;
        }
        fitted.push_back(profile && count > 0 ? static_cast<float>(sum / static_cast<double>(count))
                                              : kNan);
      }
    }
  }
  const std::vector<std::string> dimensions = {"layer", "head", "position"};
  add_curve(dataset, "attention", dimensions, std::move(weights), "1",
            "attention weight of the final query on one token");
  add_curve(dataset, "log_attention", dimensions, std::move(logarithms), "1",
            "natural logarithm of the attention weight, weights of 0 left out");
  dataset.add_variable("log_attention_fit", dimensions, std::move(fitted),
                       nan_means(describe("1", "profile as fitted (theory.md (12))"),
                                 "heads.nc: profile_reason; or no visible token there"));
}

}  // namespace

Bins position_bins(std::size_t length) {
  Bins bins;
  if (length == 0) return bins;
  bins.edges.push_back(0);
  const std::size_t tail = std::min(kAlone, length - 1);
  append_equal(bins.edges, 1, length - tail, Bins::kMost - 1 - tail);
  append_equal(bins.edges, length - tail, length, tail);
  bins.edges.push_back(length);
  return bins;
}

Bins lag_bins(std::size_t lags) {
  Bins bins;
  if (lags == 0) return bins;
  const std::size_t near = std::min(kAlone, lags);
  append_equal(bins.edges, 1, near + 1, near);
  append_equal(bins.edges, near + 1, lags + 1, Bins::kMost - near);
  bins.edges.push_back(lags + 1);
  return bins;
}

Dataset make_profiles_dataset(const AssumptionView& records, std::span<const HeadFit> fits,
                              const ShownDocument& document) {
  const RecordedShape& shape = records.shape;
  const std::size_t length = shape.layout.length;
  assert(fits.size() == shape.layers * shape.heads);
  assert(document.tokens.size() == length && shape.documents > 0);
  Dataset dataset;
  dataset.attributes()["documents"] = static_cast<std::int64_t>(shape.documents);
  dataset.attributes()["shown_document"] = document.label;
  dataset.add_coordinate("layer", count_from_zero(shape.layers),
                         {{"long_name", "layer, counted from 0"}});
  dataset.add_coordinate("head", count_from_zero(shape.heads),
                         {{"long_name", "query head, counted from 0"}});
  dataset.add_coordinate("kv_head", count_from_zero(shape.kv_heads),
                         {{"long_name", "key-value head"}});
  const Bins positions = position_bins(length);
  const Bins lags = lag_bins(AssumptionLayout::lags(length));
  add_bins(dataset, "position", positions, "position in the document, centre of the bin");
  add_norms(dataset, records, positions);
  add_weights(dataset, records, fits, positions);
  if (lags.size() > 0) {
    add_bins(dataset, "lag", lags, "distance of two tokens, centre of the bin");
    add_similarities(dataset, records, fits, lags);
  }
  dataset.add_coordinate("token", count_from_zero(length),
                         {{"long_name", "position in the shown document"}});
  dataset.add_variable("token_text", {"token"}, document.tokens,
                       {{"long_name", "text of the token"}});
  std::vector<float> weights;
  for (std::size_t layer = 0; layer < shape.layers; ++layer) {
    for (std::size_t head = 0; head < shape.heads; ++head) {
      const std::span<const float> visible = records.weights_of(0, layer, head);
      weights.insert(weights.end(), length - visible.size(), 0.0f);
      weights.insert(weights.end(), visible.begin(), visible.end());
    }
  }
  dataset.add_variable(
      "token_attention", {"layer", "head", "token"}, std::move(weights),
      describe("1", "attention of the final query on the shown document, 0 where not visible"));
  return dataset;
}

}  // namespace toplens
