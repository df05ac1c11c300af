#include "results/dataset.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace toplens {
namespace {

constexpr std::string_view kDocument = "document";

const LabelledArray* find(const std::vector<LabelledArray>& arrays, std::string_view name) {
  const auto found =
      std::find_if(arrays.begin(), arrays.end(), [&](const auto& a) { return a.name == name; });
  return found == arrays.end() ? nullptr : &*found;
}

const LabelledArray& get(const std::vector<LabelledArray>& arrays, std::string_view name,
                         std::string_view kind) {
  if (const LabelledArray* array = find(arrays, name)) return *array;
  std::vector<std::string_view> names;
  for (const LabelledArray& array : arrays) names.push_back(array.name);
  throw Error(fmt::format("no {} '{}' in the results (there are: {})", kind, name,
                          names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "))));
}

// NaN is a label of its own here: "not defined" in both is the same.
template <typename T>
bool same(const T& a, const T& b) {
  if constexpr (std::is_floating_point_v<T>) {
    return a == b || (std::isnan(a) && std::isnan(b));
  } else {
    return a == b;
  }
}

bool same_values(const ArrayValues& a, const ArrayValues& b) {
  if (a.index() != b.index()) return false;
  return std::visit(
      [&](const auto& left) {
        const auto& right = std::get<std::decay_t<decltype(left)>>(b);
        return left.size() == right.size() &&
               std::equal(left.begin(), left.end(), right.begin(),
                          [](const auto& x, const auto& y) { return same(x, y); });
      },
      a);
}

bool is_leading(const LabelledArray& array) {
  return !array.dimensions.empty() && array.dimensions.front() == kDocument;
}

void append(ArrayValues& to, const ArrayValues& from) {
  std::visit(
      [&](auto& target) {
        const auto& source = std::get<std::decay_t<decltype(target)>>(from);
        target.insert(target.end(), source.begin(), source.end());
      },
      to);
}

[[noreturn]] void differ(const std::string& part, const std::string& first,
                         const std::string& what) {
  throw Error(fmt::format("{} does not fit {}: {} differs", part, first, what));
}

// Appends the arrays of `part` to those of `whole`, or checks that they are the same.
void append_arrays(std::vector<LabelledArray>& whole, const std::vector<LabelledArray>& part,
                   const std::string& part_name, const std::string& first_name) {
  if (whole.size() != part.size()) differ(part_name, first_name, "the list of variables");
  for (std::size_t i = 0; i < whole.size(); ++i) {
    const std::string what = "variable '" + whole[i].name + "'";
    if (whole[i].name != part[i].name || whole[i].dimensions != part[i].dimensions ||
        whole[i].attributes != part[i].attributes ||
        whole[i].values.index() != part[i].values.index()) {
      differ(part_name, first_name, what);
    }
    if (is_leading(whole[i])) {
      append(whole[i].values, part[i].values);
    } else if (!same_values(whole[i].values, part[i].values)) {
      differ(part_name, first_name, what);
    }
  }
}

}  // namespace

Attributes describe(std::string_view units, std::string_view long_name) {
  return {{"units", std::string(units)}, {"long_name", std::string(long_name)}};
}

std::size_t size(const ArrayValues& values) {
  return std::visit([](const auto& v) { return v.size(); }, values);
}

std::string_view type_name(const ArrayValues& values) {
  constexpr std::string_view kNames[] = {"float32", "float64", "int32", "int64", "string"};
  static_assert(std::variant_size_v<ArrayValues> == std::size(kNames));
  return kNames[values.index()];
}

void Dataset::add_dimension(const std::string& name, std::size_t size) {
  assert(!has_dimension(name));
  dimensions_.push_back({name, size});
}

void Dataset::add_coordinate(const std::string& name, ArrayValues labels, Attributes attributes) {
  assert(find(coordinates_, name) == nullptr);
  if (!has_dimension(name)) add_dimension(name, size(labels));
  assert(dimension_size(name) == size(labels));
  coordinates_.push_back({name, {name}, std::move(labels), std::move(attributes)});
}

void Dataset::add_variable(const std::string& name, std::vector<std::string> dimensions,
                           ArrayValues values, Attributes attributes) {
  assert(find(variables_, name) == nullptr && find(coordinates_, name) == nullptr);
  [[maybe_unused]] std::size_t expected = 1;
  for (const std::string& dimension : dimensions) expected *= dimension_size(dimension);
  assert(size(values) == expected);
  variables_.push_back({name, std::move(dimensions), std::move(values), std::move(attributes)});
}

bool Dataset::has_dimension(std::string_view name) const {
  return std::any_of(dimensions_.begin(), dimensions_.end(),
                     [&](const Dimension& d) { return d.name == name; });
}

bool Dataset::has_variable(std::string_view name) const {
  return find(variables_, name) != nullptr;
}

std::size_t Dataset::dimension_size(std::string_view name) const {
  for (const Dimension& dimension : dimensions_) {
    if (dimension.name == name) return dimension.size;
  }
  std::vector<std::string_view> names;
  for (const Dimension& dimension : dimensions_) names.push_back(dimension.name);
  throw Error(fmt::format("no dimension '{}' in the results (there are: {})", name,
                          fmt::join(names, ", ")));
}

const LabelledArray& Dataset::coordinate(std::string_view name) const {
  return get(coordinates_, name, "coordinate");
}

const LabelledArray& Dataset::variable(std::string_view name) const {
  return get(variables_, name, "variable");
}

void Dataset::expect_dimensions(std::string_view name,
                                const std::vector<std::string>& dimensions) const {
  const std::vector<std::string>& found = variable(name).dimensions;
  if (found == dimensions) return;
  throw Error(fmt::format("variable '{}' has the dimensions {}, expected {}", name,
                          fmt::join(found, ", "), fmt::join(dimensions, ", ")));
}

Dataset without_unused_dimensions(const Dataset& dataset) {
  Dataset rest;
  for (const Dimension& dimension : dataset.dimensions()) {
    const auto has_it = [&](const LabelledArray& variable) {
      const auto& names = variable.dimensions;
      return std::find(names.begin(), names.end(), dimension.name) != names.end();
    };
    const auto& variables = dataset.variables();
    if (std::any_of(variables.begin(), variables.end(), has_it)) {
      rest.add_dimension(dimension.name, dimension.size);
    }
  }
  for (const LabelledArray& array : dataset.coordinates()) {
    if (rest.has_dimension(array.name)) {
      rest.add_coordinate(array.name, array.values, array.attributes);
    }
  }
  for (const LabelledArray& array : dataset.variables()) {
    rest.add_variable(array.name, array.dimensions, array.values, array.attributes);
  }
  rest.attributes() = dataset.attributes();
  return rest;
}

Dataset concatenate_documents(std::span<const Dataset> parts, std::span<const std::string> names) {
  assert(!parts.empty() && parts.size() == names.size());
  std::vector<LabelledArray> coordinates = parts[0].coordinates();
  std::vector<LabelledArray> variables = parts[0].variables();
  std::vector<Dimension> dimensions = parts[0].dimensions();
  for (std::size_t i = 0; i < parts.size(); ++i) {
    for (const LabelledArray& variable : parts[i].variables()) {
      const auto& d = variable.dimensions;
      if (!d.empty() && std::find(d.begin() + 1, d.end(), kDocument) != d.end()) {
        throw Error(fmt::format("{}: 'document' is not the leading dimension of variable '{}'",
                                names[i], variable.name));
      }
    }
    const std::size_t documents = parts[i].dimension_size(kDocument);
    if (i == 0) continue;
    if (parts[i].dimensions().size() != dimensions.size()) {
      differ(names[i], names[0], "the list of dimensions");
    }
    for (std::size_t k = 0; k < dimensions.size(); ++k) {
      const Dimension& found = parts[i].dimensions()[k];
      if (found.name == kDocument && dimensions[k].name == kDocument) {
        dimensions[k].size += documents;
      } else if (!(found == dimensions[k])) {
        differ(names[i], names[0], "dimension '" + dimensions[k].name + "'");
      }
    }
    if (parts[i].attributes() != parts[0].attributes()) {
      differ(names[i], names[0], "an attribute of the file");
    }
    append_arrays(coordinates, parts[i].coordinates(), names[i], names[0]);
    append_arrays(variables, parts[i].variables(), names[i], names[0]);
  }
  Dataset whole;
  for (const Dimension& dimension : dimensions) whole.add_dimension(dimension.name, dimension.size);
  for (LabelledArray& c : coordinates) {
    whole.add_coordinate(c.name, std::move(c.values), std::move(c.attributes));
  }
  for (LabelledArray& v : variables) {
    whole.add_variable(v.name, std::move(v.dimensions), std::move(v.values),
                       std::move(v.attributes));
  }
  whole.attributes() = parts[0].attributes();
  return whole;
}

}  // namespace toplens
