#include "fuzz/support/hostile_dataset.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace toplens::testing {
namespace {

constexpr std::size_t kMostFaults = 8;
constexpr std::size_t kMostElements = std::size_t{1} << 14;  // of one array, for speed

// What readers compare texts with, and what they may take apart.
constexpr const char* kTexts[] = {"",      "attention", "random",   "contribution", "euclidean",
                                  "model", "layer:1",   "head:1.1", "keep",         "mixer",
                                  "last",  "8:last",    ":",        "-1:last",      "\xff"};

constexpr double kNumbers[] = {0,
                               1,
                               -1,
                               2,
                               1e300,
                               -1e300,
                               1e-300,
                               2147483647.0,
                               -2147483648.0,
                               9e18,
                               std::numeric_limits<double>::quiet_NaN(),
                               std::numeric_limits<double>::infinity(),
                               -std::numeric_limits<double>::infinity()};

template <typename T>
T as(double number) {
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(number);
  } else {
    if (std::isnan(number)) return T{0};
    if (number >= static_cast<double>(std::numeric_limits<T>::max())) {
      return std::numeric_limits<T>::max();
    }
    if (number <= static_cast<double>(std::numeric_limits<T>::min())) {
      return std::numeric_limits<T>::min();
    }
    return static_cast<T>(number);
  }
}

/// A dataset in pieces, which may be taken apart.
class Faults {
 public:
  Faults(const Dataset& valid, FuzzedDataProvider& input)
      : input_(input),
        dimensions_(valid.dimensions()),
        arrays_(valid.coordinates()),
        attributes_(valid.attributes()) {
    arrays_.insert(arrays_.end(), valid.variables().begin(), valid.variables().end());
  }

  void add_one() {
    if (arrays_.empty() || dimensions_.empty()) return;
    LabelledArray& array = arrays_[index_below(arrays_.size())];
    switch (input_.ConsumeIntegralInRange(0, 9)) {
      case 0:
        arrays_.erase(arrays_.begin() + (&array - arrays_.data()));
        break;
      case 1:
        std::swap(array.name, arrays_[index_below(arrays_.size())].name);
        break;
      case 2:
        dimensions_[index_below(dimensions_.size())].size =
            input_.ConsumeIntegralInRange<std::size_t>(1, 16);
        break;
      case 3:
        if (!array.dimensions.empty()) {
          array.dimensions[index_below(array.dimensions.size())] = any_dimension();
        }
        break;
      case 4:
        array.dimensions.push_back(any_dimension());
        break;
      case 5:
        if (!array.dimensions.empty()) array.dimensions.pop_back();
        break;
      case 6:
        change_type(array);
        break;
      case 7:
        set_elements(array);
        break;
      case 8:
        change_attribute(input_.ConsumeBool() ? array.attributes : attributes_);
        break;
      default:
        add_unused_dimension();
    }
  }

  Dataset dataset() {
    Dataset dataset;
    for (const Dimension& dimension : dimensions_) {
      dataset.add_dimension(dimension.name, dimension.size);
    }
    for (LabelledArray& array : arrays_) {
      // A netCDF file, too, holds one array of a name, and no array of a name that is no
      // dimension's is a coordinate.
      const auto same = [&](const LabelledArray& other) { return other.name == array.name; };
      if (&*std::find_if(arrays_.begin(), arrays_.end(), same) != &array) continue;
      std::size_t elements = 1;
      for (const std::string& name : array.dimensions) {
        elements = std::min(elements * dataset.dimension_size(name), kMostElements + 1);
      }
      if (elements > kMostElements) continue;
      fit(array.values, elements);
      if (array.dimensions == std::vector<std::string>{array.name}) {
        dataset.add_coordinate(array.name, array.values, array.attributes);
      } else {
        dataset.add_variable(array.name, array.dimensions, array.values, array.attributes);
      }
    }
    dataset.attributes() = attributes_;
    return dataset;
  }

 private:
  std::size_t index_below(std::size_t size) {
    return input_.ConsumeIntegralInRange<std::size_t>(0, size - 1);
  }
  const std::string& any_dimension() { return dimensions_[index_below(dimensions_.size())].name; }
  double any_number() {
    return input_.ConsumeBool() ? kNumbers[index_below(std::size(kNumbers))]
                                : input_.ConsumeFloatingPoint<double>();
  }
  std::string any_text() {
    return input_.ConsumeBool() ? kTexts[index_below(std::size(kTexts))]
                                : input_.ConsumeRandomLengthString(24);
  }

  void change_type(LabelledArray& array) {
    const std::size_t count = size(array.values);
    const double number = any_number();
    switch (input_.ConsumeIntegralInRange(0, 4)) {
      case 0:
        array.values = std::vector<float>(count, as<float>(number));
        break;
      case 1:
        array.values = std::vector<double>(count, number);
        break;
      case 2:
        array.values = std::vector<std::int32_t>(count, as<std::int32_t>(number));
        break;
      case 3:
        array.values = std::vector<std::int64_t>(count, as<std::int64_t>(number));
        break;
      default:
        array.values = std::vector<std::string>(count, any_text());
    }
  }

  void set_elements(LabelledArray& array) {
    std::visit(
        [&](auto& values) {
          using T = typename std::decay_t<decltype(values)>::value_type;
          if (values.empty()) return;
          const std::size_t first = index_below(values.size());
          const std::size_t count = input_.ConsumeBool() ? values.size() - first : 1;
          for (std::size_t i = first; i < first + count; ++i) {
            if constexpr (std::is_same_v<T, std::string>) {
              values[i] = any_text();
            } else {
              values[i] = as<T>(any_number());
            }
          }
        },
        array.values);
  }

  void change_attribute(Attributes& attributes) {
    std::string key = input_.ConsumeRandomLengthString(8);
    if (!attributes.empty() && input_.ConsumeBool()) {
      key =
          std::next(attributes.begin(), static_cast<std::ptrdiff_t>(index_below(attributes.size())))
              ->first;
    }
    if (input_.ConsumeBool()) {
      attributes.erase(key);
    } else if (input_.ConsumeBool()) {
      attributes[key] = any_text();
    } else if (input_.ConsumeBool()) {
      attributes[key] = as<std::int64_t>(any_number());
    } else {
      attributes[key] = any_number();
    }
  }

  /// A size costs nothing where no array has it: it may be any.
  void add_unused_dimension() {
    Dimension& dimension = dimensions_[index_below(dimensions_.size())];
    std::erase_if(arrays_, [&](const LabelledArray& array) {
      const auto& names = array.dimensions;
      return std::find(names.begin(), names.end(), dimension.name) != names.end();
    });
    dimension.size = std::size_t{1} << input_.ConsumeIntegralInRange(0, 40);
  }

  static void fit(ArrayValues& values, std::size_t count) {
    std::visit(
        [&](auto& array) {
          using T = typename std::decay_t<decltype(array)>::value_type;
          const std::size_t had = array.size();
          array.resize(count);
          for (std::size_t i = had; i < count; ++i) array[i] = had > 0 ? array[i % had] : T{};
        },
        values);
  }

  FuzzedDataProvider& input_;
  std::vector<Dimension> dimensions_;
  std::vector<LabelledArray> arrays_;  // coordinates first
  Attributes attributes_;
};

}  // namespace

Dataset with_faults(const Dataset& valid, FuzzedDataProvider& input) {
  Faults faults(valid, input);
  const auto count = input.ConsumeIntegralInRange<std::size_t>(1, kMostFaults);
  for (std::size_t i = 0; i < count && input.remaining_bytes() > 0; ++i) faults.add_one();
  return faults.dataset();
}

}  // namespace toplens::testing
