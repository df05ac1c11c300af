#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <toplens/observer.h>

#include "measures/measure_table.h"
#include "measures/signature_reason.h"

namespace toplens {

/// One way in which a run's heads are looked at. The first of a run is the one that its table is
/// about; the others say how stable that is.
struct MeasureSetting {
  int context_length = 0;  ///< the last so many tokens of every document (BOS kept where added)
  std::string queries;     ///< "last", "all" or "tail:K"

  std::string label() const { return std::to_string(context_length) + ":" + queries; }
  bool operator==(const MeasureSetting&) const = default;
};

struct MeasuredShape {
  std::size_t documents = 0, layers = 0, heads = 0;
  std::vector<MeasureSetting> settings;
  std::vector<int> set_sizes;  ///< increasing

  std::size_t cells() const { return documents * settings.size() * layers * heads; }
  std::size_t cell(std::size_t document, std::size_t setting, std::size_t layer,
                   std::size_t head) const {
    return ((document * settings.size() + setting) * layers + layer) * heads + head;
  }
};

/// What every document leaves of every head: 92 bytes for a setting, 12 more for a set size.
/// NaN where not defined.
template <template <typename> class Array>
struct MeasureFields {
  MeasuredShape shape;
  Array<float> measures;        ///< [document, setting, layer, head, Measure]
  Array<float> size_measures;   ///< [document, setting, layer, head, set_size, SizeMeasure]
  Array<std::int32_t> reasons;  ///< [document, setting, layer, head], SignatureReason
  Array<float> detectors;       ///< [document, layer, head, Detector]

  float measure(std::size_t document, std::size_t setting, std::size_t layer, std::size_t head,
                Measure which) const {
    return measures[shape.cell(document, setting, layer, head) * kNumMeasures + index_of(which)];
  }
  float size_measure(std::size_t document, std::size_t setting, std::size_t layer, std::size_t head,
                     std::size_t set_size, SizeMeasure which) const {
    return size_measures[(shape.cell(document, setting, layer, head) * shape.set_sizes.size() +
                          set_size) *
                             kNumSizeMeasures +
                         index_of(which)];
  }
  SignatureReason reason(std::size_t document, std::size_t setting, std::size_t layer,
                         std::size_t head) const {
    return static_cast<SignatureReason>(reasons[shape.cell(document, setting, layer, head)]);
  }
  float detector(std::size_t document, std::size_t layer, std::size_t head, Detector which) const {
    return detectors[((document * shape.layers + layer) * shape.heads + head) * kNumDetectors +
                     static_cast<std::size_t>(which)];
  }
};

template <typename T>
using OwnedMeasures = std::vector<T>;
template <typename T>
using ConstMeasures = std::span<const T>;

using MeasureRecords = MeasureFields<OwnedMeasures>;
using MeasureView = MeasureFields<ConstMeasures>;

/// All NaN, no reasons.
MeasureRecords make_measure_records(const MeasuredShape& shape);
MeasureView view_of(const MeasureRecords& records);
/// Bytes of the records of one document.
std::uint64_t bytes_per_document(const MeasuredShape& shape);

/// The settings of a run: `lengths[0]` is the documents' own; with more queries than the final one,
/// each length at those and at the final query.
std::vector<MeasureSetting> measure_settings(std::span<const int> lengths,
                                             const std::string& queries);

}  // namespace toplens
