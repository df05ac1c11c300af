#include "measures/measure_records.h"

#include <limits>

namespace toplens {

MeasureRecords make_measure_records(const MeasuredShape& shape) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  MeasureRecords records;
  records.shape = shape;
  records.measures.assign(shape.cells() * kNumMeasures, kNan);
  records.size_measures.assign(shape.cells() * shape.set_sizes.size() * kNumSizeMeasures, kNan);
  records.reasons.assign(shape.cells(), 0);
  records.detectors.assign(shape.documents * shape.layers * shape.heads * kNumDetectors, kNan);
  return records;
}

MeasureView view_of(const MeasureRecords& records) {
  MeasureView view;
  view.shape = records.shape;
  view.measures = records.measures;
  view.size_measures = records.size_measures;
  view.reasons = records.reasons;
  view.detectors = records.detectors;
  return view;
}

std::uint64_t bytes_per_document(const MeasuredShape& shape) {
  const std::uint64_t heads = shape.layers * shape.heads;
  return heads * (shape.settings.size() *
                      (4 * (kNumMeasures + shape.set_sizes.size() * kNumSizeMeasures) + 4) +
                  4 * kNumDetectors);
}

std::vector<MeasureSetting> measure_settings(std::span<const int> lengths,
                                             const std::string& queries) {
  std::vector<MeasureSetting> settings;
  for (const int length : lengths) {
    settings.push_back({length, queries});
    if (queries != "last") settings.push_back({length, "last"});
  }
  return settings;
}

}  // namespace toplens
