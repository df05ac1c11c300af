#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include <toplens/error.h>

namespace toplens {

using AttributeValue = std::variant<std::string, std::int64_t, double>;
using Attributes = std::map<std::string, AttributeValue>;

/// Attributes with `units` ("1" for a pure number) and `long_name`.
Attributes describe(std::string_view units, std::string_view long_name);

/// Elements of a variable or coordinate, row-major. NaN says "not defined" in the floating types.
using ArrayValues = std::variant<std::vector<float>, std::vector<double>, std::vector<std::int32_t>,
                                 std::vector<std::int64_t>, std::vector<std::string>>;

std::size_t size(const ArrayValues& values);
/// "float32", "int64", "string", ...
std::string_view type_name(const ArrayValues& values);

struct Dimension {
  std::string name;
  std::size_t size = 0;
  bool operator==(const Dimension&) const = default;
};

struct LabelledArray {
  std::string name;
  std::vector<std::string> dimensions;
  ArrayValues values;
  Attributes attributes;
};

/// Labelled n-dimensional arrays, what a netCDF file or an xarray.Dataset holds: the common
/// currency of parts, pooled results and tables. A coordinate is an array of labels along the
/// dimension of its own name. Sizes that disagree in add_*() are programmer errors (assertions).
class Dataset {
 public:
  void add_dimension(const std::string& name, std::size_t size);
  /// Adds the dimension too where it is not there yet.
  void add_coordinate(const std::string& name, ArrayValues labels, Attributes attributes = {});
  void add_variable(const std::string& name, std::vector<std::string> dimensions,
                    ArrayValues values, Attributes attributes = {});

  const std::vector<Dimension>& dimensions() const { return dimensions_; }
  const std::vector<LabelledArray>& coordinates() const { return coordinates_; }
  const std::vector<LabelledArray>& variables() const { return variables_; }
  const Attributes& attributes() const { return attributes_; }
  Attributes& attributes() { return attributes_; }

  bool has_dimension(std::string_view name) const;
  bool has_variable(std::string_view name) const;
  /// The lookups throw Error, naming what there is, where the name is not.
  std::size_t dimension_size(std::string_view name) const;
  const LabelledArray& coordinate(std::string_view name) const;
  const LabelledArray& variable(std::string_view name) const;
  /// Elements of a data variable. Throws Error where it is absent or has another type.
  template <typename T>
  std::span<const T> values(std::string_view name) const {
    return typed<T>(variable(name));
  }
  /// The same of a variable by exactly these dimensions, so of as many elements. Throws Error where
  /// it has others.
  template <typename T>
  std::span<const T> values(std::string_view name,
                            const std::vector<std::string>& dimensions) const {
    expect_dimensions(name, dimensions);
    return values<T>(name);
  }
  template <typename T>
  std::span<T> mutable_values(std::string_view name) {
    const std::span<const T> found = values<T>(name);
    return {const_cast<T*>(found.data()), found.size()};
  }
  template <typename T>
  std::span<const T> labels(std::string_view name) const {
    return typed<T>(coordinate(name));
  }

 private:
  void expect_dimensions(std::string_view name, const std::vector<std::string>& dimensions) const;
  template <typename T>
  static std::span<const T> typed(const LabelledArray& array) {
    const auto* values = std::get_if<std::vector<T>>(&array.values);
    if (values == nullptr) {
      throw Error("variable '" + array.name + "' is " + std::string(type_name(array.values)) +
                  ", expected " + std::string(type_name(ArrayValues(std::vector<T>()))));
    }
    return *values;
  }

  std::vector<Dimension> dimensions_;
  std::vector<LabelledArray> coordinates_;
  std::vector<LabelledArray> variables_;
  Attributes attributes_;
};

/// The dataset without the dimensions, and their coordinates, that no variable has.
Dataset without_unused_dimensions(const Dataset& dataset);

/// The parts one after the other along their leading dimension `document`; whatever does not depend
/// on it must be the same in all of them. `names` says for messages where each part came from.
/// Throws Error naming the part and the first thing that differs. At least one part.
Dataset concatenate_documents(std::span<const Dataset> parts, std::span<const std::string> names);

}  // namespace toplens
