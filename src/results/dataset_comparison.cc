#include "results/dataset_comparison.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

namespace toplens {
namespace {

template <typename T>
bool same(const T& a, const T& b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(a) && std::isnan(b)) return true;
    return a == b && std::signbit(a) == std::signbit(b);
  } else {
    return a == b;
  }
}

/// Of the defined values; 1 where that is 0.
template <typename T>
double root_mean_square(const std::vector<T>& values) {
  double sum = 0.0;
  std::size_t count = 0;
  for (const T value : values) {
    const auto x = static_cast<double>(value);
    if (!std::isfinite(x)) continue;
    sum += x * x;
    ++count;
  }
  return sum > 0.0 ? std::sqrt(sum / static_cast<double>(count)) : 1.0;
}

template <typename T>
double distance(const T& a, const T& b, double scale) {
  if constexpr (std::is_arithmetic_v<T>) {
    const double difference = std::fabs(static_cast<double>(a) - static_cast<double>(b));
    if (std::isfinite(difference)) return difference / scale;
  }
  return std::numeric_limits<double>::infinity();
}

std::string label(const Dataset& dataset, const std::string& dimension, std::size_t index) {
  for (const LabelledArray& coordinate : dataset.coordinates()) {
    if (coordinate.name != dimension) continue;
    return std::visit([&](const auto& labels) { return fmt::format("{}", labels[index]); },
                      coordinate.values);
  }
  return fmt::format("{}", index);
}

std::string place_of(const Dataset& dataset, const LabelledArray& array, std::size_t index) {
  std::string place;
  for (auto name = array.dimensions.rbegin(); name != array.dimensions.rend(); ++name) {
    const std::size_t size = dataset.dimension_size(*name);
    place = fmt::format("{} {}{}{}", *name, label(dataset, *name, index % size),
                        place.empty() ? "" : ", ", place);
    index /= size;
  }
  return place;
}

const LabelledArray* find(const std::vector<LabelledArray>& arrays, const std::string& name) {
  const auto found = std::find_if(arrays.begin(), arrays.end(),
                                  [&](const LabelledArray& array) { return array.name == name; });
  return found == arrays.end() ? nullptr : &*found;
}

class Comparison {
 public:
  Comparison(const Dataset& recorded, const Dataset& computed)
      : recorded_(recorded), computed_(computed) {}

  DatasetDifference run() {
    for (const Dimension& dimension : computed_.dimensions()) {
      if (!recorded_.has_dimension(dimension.name)) {
        note(fmt::format("there is no dimension '{}'", dimension.name));
      } else if (recorded_.dimension_size(dimension.name) != dimension.size) {
        note(fmt::format("dimension '{}' is {}, expected {}", dimension.name,
                         recorded_.dimension_size(dimension.name), dimension.size));
      }
    }
    if (!difference_.structure.empty()) return difference_;
    compare(recorded_.coordinates(), computed_.coordinates());
    compare(recorded_.variables(), computed_.variables());
    return difference_;
  }

 private:
  void note(std::string what) {
    if (difference_.structure.empty()) difference_.structure = std::move(what);
  }

  void compare(const std::vector<LabelledArray>& recorded,
               const std::vector<LabelledArray>& computed) {
    for (const LabelledArray& array : recorded) {
      if (find(computed, array.name) == nullptr) {
        note(fmt::format("there is a variable '{}' too many", array.name));
      }
    }
    for (const LabelledArray& array : computed) {
      if (array.name == "document") continue;
      const LabelledArray* other = find(recorded, array.name);
      if (other == nullptr) {
        note(fmt::format("there is no variable '{}'", array.name));
      } else if (other->dimensions != array.dimensions ||
                 other->values.index() != array.values.index() ||
                 size(other->values) != size(array.values)) {
        note(fmt::format("variable '{}' has another type or other dimensions", array.name));
      } else {
        std::visit(
            [&](const auto& values) {
              using Values = std::decay_t<decltype(values)>;
              compare_values(*other, std::get<Values>(other->values), values);
            },
            array.values);
      }
    }
  }

  template <typename T>
  void compare_values(const LabelledArray& array, const std::vector<T>& recorded,
                      const std::vector<T>& computed) {
    difference_.values += computed.size();
    if (std::equal(recorded.begin(), recorded.end(), computed.begin(), same<T>)) return;
    double scale = 1.0;
    if constexpr (std::is_arithmetic_v<T>) scale = root_mean_square(computed);
    std::size_t far = 0, largest = 0;
    double largest_distance = -1.0;
    for (std::size_t i = 0; i < computed.size(); ++i) {
      if (same(recorded[i], computed[i])) continue;
      ++difference_.unequal;
      const double d = distance(recorded[i], computed[i], scale);
      if (d > kFarDistance) ++far;
      if (d > largest_distance) {
        largest_distance = d;
        largest = i;
      }
    }
    DatasetDifference own;
    own.largest = UnequalValue{array.name, place_of(recorded_, array, largest),
                               fmt::format("{}", recorded[largest]),
                               fmt::format("{}", computed[largest]), largest_distance};
    own.far_variable = array.name;
    own.far_values = far;
    own.far_share = static_cast<double>(far) / static_cast<double>(computed.size());
    merge(difference_, own);
  }

  const Dataset& recorded_;
  const Dataset& computed_;
  DatasetDifference difference_;
};

}  // namespace

DatasetDifference compare_datasets(const Dataset& recorded, const Dataset& computed) {
  return Comparison(recorded, computed).run();
}

void merge(DatasetDifference& into, const DatasetDifference& other) {
  if (into.structure.empty()) into.structure = other.structure;
  into.values += other.values;
  into.unequal += other.unequal;
  if (other.largest && (!into.largest || other.largest->distance > into.largest->distance)) {
    into.largest = other.largest;
  }
  // One value is a large share of a small variable and says little.
  const auto weight = [](const DatasetDifference& d) {
    return std::pair(d.far_values > 1 ? d.far_share : 0.0, d.far_share);
  };
  if (into.far_variable.empty() || weight(other) > weight(into)) {
    into.far_variable = other.far_variable;
    into.far_share = other.far_share;
    into.far_values = other.far_values;
  }
}

}  // namespace toplens
