#include "results/netcdf_file.h"

#include <netcdf.h>
#include <netcdf_mem.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <optional>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/narrow.h"
#include "io/atomic_file.h"
#include "io/mapped_file.h"
#include "results/digest.h"

namespace toplens {
namespace {

constexpr std::size_t kCompressFromBytes = 64 * 1024;
constexpr std::size_t kMostChunkElements = std::size_t{1} << 20;
// Deflate cannot expand more than this, so a header that promises more is damaged.
constexpr std::uint64_t kLargestExpansion = 1100;
constexpr std::uint64_t kSmallFileBytes = 1 << 20;
constexpr std::string_view kHdf5Magic("\x89HDF\r\n\x1a\n", 8);

struct Where {
  std::string file;
  std::string variable;
};

void check(int status, const Where& where, std::string_view action) {
  if (status == NC_NOERR) return;
  throw Error(fmt::format("{}: cannot {}{}: {}", where.file, action,
                          where.variable.empty() ? "" : " variable '" + where.variable + "'",
                          nc_strerror(status)));
}

class OpenNetcdf {
 public:
  explicit OpenNetcdf(int id) : id_(id) {}
  ~OpenNetcdf() {
    if (id_ >= 0) nc_abort(id_);
  }
  OpenNetcdf(const OpenNetcdf&) = delete;
  OpenNetcdf& operator=(const OpenNetcdf&) = delete;
  int id() const { return id_; }
  int release() { return std::exchange(id_, -1); }

 private:
  int id_;
};

template <typename T>
struct NetcdfType;
template <>
struct NetcdfType<float> {
  static constexpr nc_type value = NC_FLOAT;
};
template <>
struct NetcdfType<double> {
  static constexpr nc_type value = NC_DOUBLE;
};
template <>
struct NetcdfType<std::int32_t> {
  static constexpr nc_type value = NC_INT;
};
template <>
struct NetcdfType<std::int64_t> {
  static constexpr nc_type value = NC_INT64;
};
template <>
struct NetcdfType<std::string> {
  static constexpr nc_type value = NC_STRING;
};

void put_attributes(int file, int variable, const Attributes& attributes, const Where& where) {
  for (const auto& [key, value] : attributes) {
    int status = NC_NOERR;
    if (const auto* text = std::get_if<std::string>(&value)) {
      status = nc_put_att_text(file, variable, key.c_str(), text->size(), text->data());
    } else if (const auto* integer = std::get_if<std::int64_t>(&value)) {
      const long long number = *integer;
      status = nc_put_att_longlong(file, variable, key.c_str(), NC_INT64, 1, &number);
    } else {
      const double number = std::get<double>(value);
      status = nc_put_att_double(file, variable, key.c_str(), NC_DOUBLE, 1, &number);
    }
    check(status, where, "write attribute '" + key + "' of");
  }
}

// One layer is read at a time (NetcdfReader::read with a slice), so a chunk holds one.
std::vector<std::size_t> chunk_of(const LabelledArray& array, std::vector<std::size_t> chunk) {
  for (std::size_t i = 0; i < chunk.size(); ++i) {
    if (array.dimensions[i] == "layer") chunk[i] = 1;
  }
  // Whatever is still too large is cut along its longest dimension.
  const auto elements = [&] {
    return std::accumulate(chunk.begin(), chunk.end(), std::size_t{1}, std::multiplies<>());
  };
  while (elements() > kMostChunkElements) {
    std::size_t& longest = *std::max_element(chunk.begin(), chunk.end());
    longest = (longest + 1) / 2;
  }
  return chunk;
}

int define_array(int file, const LabelledArray& array, bool is_coordinate, const Where& where) {
  std::vector<int> dimensions;
  std::vector<std::size_t> dimension_sizes;
  for (const std::string& name : array.dimensions) {
    int id = 0;
    check(nc_inq_dimid(file, name.c_str(), &id), where, "find dimension '" + name + "' of");
    dimensions.push_back(id);
    check(nc_inq_dimlen(file, id, &dimension_sizes.emplace_back()), where,
          "measure a dimension of");
  }
  return std::visit(
      [&](const auto& values) {
        using T = typename std::decay_t<decltype(values)>::value_type;
        int id = 0;
        check(nc_def_var(file, array.name.c_str(), NetcdfType<T>::value,
                         static_cast<int>(dimensions.size()), dimensions.data(), &id),
              where, "define");
        if constexpr (std::is_floating_point_v<T>) {
          const T nan = std::numeric_limits<T>::quiet_NaN();
          if (!is_coordinate)
            check(nc_def_var_fill(file, id, NC_FILL, &nan), where, "set the fill value of");
        }
        if constexpr (!std::is_same_v<T, std::string>) {
          if (!dimensions.empty() && values.size() * sizeof(T) >= kCompressFromBytes) {
            const std::vector<std::size_t> chunk = chunk_of(array, dimension_sizes);
            check(nc_def_var_chunking(file, id, NC_CHUNKED, chunk.data()), where, "cut");
            check(nc_def_var_deflate(file, id, 1, 1, 1), where, "compress");
          }
        }
        put_attributes(file, id, array.attributes, where);
        return id;
      },
      array.values);
}

void put_values(int file, int variable, const LabelledArray& array, const Where& where) {
  std::visit(
      [&](const auto& values) {
        using T = typename std::decay_t<decltype(values)>::value_type;
        if constexpr (std::is_same_v<T, std::string>) {
          std::vector<const char*> pointers;
          for (const std::string& value : values) pointers.push_back(value.c_str());
          check(nc_put_var_string(file, variable, pointers.data()), where, "write");
        } else {
          check(nc_put_var(file, variable, values.data()), where, "write");
        }
      },
      array.values);
}

// A trailer after the end of the HDF5 file, where other readers never look. HDF5's own checksums
// leave gaps (a flipped bit in a chunk's index can turn numbers into fill values), and its reader
// was not made for damaged files.
std::string trailer(std::string_view contents) {
  return fmt::format("\ntoplens-sha256 {}\n", sha256(contents));
}

void check_trailer(const MappedFile& file) {
  static const std::size_t kLength = trailer("").size();
  const std::string name = file.path().string();
  const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()),
                               file.bytes().size());
  if (bytes.substr(0, kHdf5Magic.size()) != kHdf5Magic)
    throw Error(fmt::format("{}: is no netCDF-4 file", name));
  const std::string_view contents = bytes.substr(0, bytes.size() - std::min(bytes.size(), kLength));
  const bool intact = bytes.size() >= kLength && bytes.substr(contents.size()) == trailer(contents);
  file.check_intact();
  if (!intact) {
    throw Error(
        fmt::format("{}: is truncated or damaged: its checksum is absent or does not match", name));
  }
}

// The file's bytes are made in memory: then a full disk is met by plain write() calls with the
// system's own reason, not inside HDF5, which cannot close a file it could not flush. Files made so
// do not remember the order of their variables: readers list them by name.
std::string encode(const std::string& name, const Dataset& dataset) {
  const Where where{name, ""};
  int id = -1;
  // The initial size is also the least size of the file.
  check(nc_create_mem(name.c_str(), NC_NETCDF4, 1, &id), where, "create the netCDF file");
  OpenNetcdf file(id);
  for (const Dimension& dimension : dataset.dimensions()) {
    // netCDF takes length 0 for "unlimited".
    if (dimension.size == 0)
      throw Error(fmt::format("{}: dimension '{}' is empty", name, dimension.name));
    int unused = 0;
    check(nc_def_dim(id, dimension.name.c_str(), dimension.size, &unused), where,
          "define dimension '" + dimension.name + "' of");
  }
  put_attributes(id, NC_GLOBAL, dataset.attributes(), where);
  std::vector<std::pair<int, const LabelledArray*>> arrays;
  for (const LabelledArray& c : dataset.coordinates())
    arrays.emplace_back(define_array(id, c, true, {name, c.name}), &c);
  for (const LabelledArray& v : dataset.variables())
    arrays.emplace_back(define_array(id, v, false, {name, v.name}), &v);
  check(nc_enddef(id), where, "define the netCDF file");
  for (const auto& [variable, array] : arrays)
    put_values(id, variable, *array, {name, array->name});
  NC_memio image{};
  check(nc_close_memio(file.release(), &image), where, "finish the netCDF file");
  const std::unique_ptr<void, decltype(&std::free)> owned(image.memory, &std::free);
  std::string contents(static_cast<const char*>(image.memory), image.size);
  contents += trailer(contents);
  return contents;
}

AttributeValue get_attribute(int file, int variable, const char* key, const Where& where) {
  nc_type type = 0;
  std::size_t length = 0;
  check(nc_inq_att(file, variable, key, &type, &length), where, "read an attribute of");
  if (length > kSmallFileBytes)
    throw Error(
        fmt::format("{}: attribute '{}' is too long ({} elements)", where.file, key, length));
  if (type == NC_CHAR) {
    std::string text(length, '\0');
    check(nc_get_att_text(file, variable, key, text.data()), where, "read an attribute of");
    return text;
  }
  if (length != 1 || (type != NC_INT64 && type != NC_DOUBLE)) {
    throw Error(fmt::format("{}: attribute '{}' of '{}' is not a text, int64 or double", where.file,
                            key, where.variable));
  }
  if (type == NC_INT64) {
    long long number = 0;
    check(nc_get_att_longlong(file, variable, key, &number), where, "read an attribute of");
    return static_cast<std::int64_t>(number);
  }
  double number = 0;
  check(nc_get_att_double(file, variable, key, &number), where, "read an attribute of");
  return number;
}

Attributes get_attributes(int file, int variable, int count, const Where& where) {
  Attributes attributes;
  for (int i = 0; i < count; ++i) {
    std::array<char, NC_MAX_NAME + 1> key{};
    check(nc_inq_attname(file, variable, i, key.data()), where, "read an attribute of");
    if (variable != NC_GLOBAL && std::string_view(key.data()) == "_FillValue") continue;
    attributes[key.data()] = get_attribute(file, variable, key.data(), where);
  }
  return attributes;
}

// The elements of a variable to read: [first, first + counts) along each dimension.
struct Block {
  std::vector<std::size_t> first, counts;
  std::size_t elements = 1;
};

template <typename T>
ArrayValues get_values(int file, int variable, const Block& block, const Where& where) {
  if constexpr (std::is_same_v<T, std::string>) {
    std::vector<char*> pointers(block.elements, nullptr);
    // Where the read fails some of them are there.
    const auto free_all = [](std::vector<char*>* all) { nc_free_string(all->size(), all->data()); };
    const std::unique_ptr<std::vector<char*>, decltype(free_all)> owned(&pointers, free_all);
    check(nc_get_vara_string(file, variable, block.first.data(), block.counts.data(),
                             pointers.data()),
          where, "read");
    std::vector<std::string> values;
    for (const char* text : pointers) values.emplace_back(text == nullptr ? "" : text);
    return values;
  } else {
    std::vector<T> values(block.elements);
    check(nc_get_vara(file, variable, block.first.data(), block.counts.data(), values.data()),
          where, "read");
    return values;
  }
}

ArrayValues get_values(int file, int variable, nc_type type, const Block& block,
                       const Where& where) {
  switch (type) {
    case NC_FLOAT:
      return get_values<float>(file, variable, block, where);
    case NC_DOUBLE:
      return get_values<double>(file, variable, block, where);
    case NC_INT:
      return get_values<std::int32_t>(file, variable, block, where);
    case NC_INT64:
      return get_values<std::int64_t>(file, variable, block, where);
    case NC_STRING:
      return get_values<std::string>(file, variable, block, where);
    default:
      throw Error(fmt::format(
          "{}: variable '{}' has netCDF type {}, expected float, double, int, int64 or string",
          where.file, where.variable, type));
  }
}

}  // namespace

void write_netcdf(const std::filesystem::path& path, const Dataset& dataset) {
  write_file_atomically(path, std::string_view(encode(path.string(), dataset)));
}

std::string netcdf_contents(const std::string& name, const Dataset& dataset) {
  return encode(name, dataset);
}

struct NetcdfReader::State {
  std::string name;
  std::uint64_t most_bytes = 0;  ///< of a variable
  std::optional<OpenNetcdf> file;

  int id() const { return file->id(); }
  void read_array(int variable, Dataset& dataset, const std::vector<std::string>& only,
                  const std::optional<DimensionSlice>& slice) const;
};

NetcdfReader::NetcdfReader(const std::filesystem::path& path) : state_(std::make_unique<State>()) {
  state_->name = path.string();
  {
    const MappedFile file(path);
    check_trailer(file);
    state_->most_bytes = file.bytes().size() * kLargestExpansion + kSmallFileBytes;
  }
  int id = -1;
  check(nc_open(std::filesystem::absolute(path).c_str(), NC_NOWRITE, &id), {state_->name, ""},
        "open the netCDF file");
  state_->file.emplace(id);
}
NetcdfReader::~NetcdfReader() = default;
NetcdfReader::NetcdfReader(NetcdfReader&&) noexcept = default;

Attributes NetcdfReader::attributes() const {
  const Where where{state_->name, ""};
  int count = 0;
  check(nc_inq_natts(state_->id(), &count), where, "read the netCDF file");
  return get_attributes(state_->id(), NC_GLOBAL, count, where);
}

bool NetcdfReader::has_variable(const std::string& name) const {
  int unused = 0;
  return nc_inq_varid(state_->id(), name.c_str(), &unused) == NC_NOERR;
}

std::size_t NetcdfReader::dimension_size(const std::string& name) const {
  const Where where{state_->name, ""};
  int dimension = 0;
  std::size_t length = 0;
  check(nc_inq_dimid(state_->id(), name.c_str(), &dimension), where,
        "find dimension '" + name + "' of");
  check(nc_inq_dimlen(state_->id(), dimension, &length), where, "read a dimension of");
  return length;
}

Dataset NetcdfReader::read(const std::vector<std::string>& only,
                           const std::optional<DimensionSlice>& slice) const {
  const Where where{state_->name, ""};
  const int id = state_->id();
  int dimensions = 0;
  int variables = 0;
  check(nc_inq(id, &dimensions, &variables, nullptr, nullptr), where, "read the netCDF file");
  Dataset dataset;
  for (int i = 0; i < dimensions; ++i) {
    std::array<char, NC_MAX_NAME + 1> dimension{};
    std::size_t length = 0;
    check(nc_inq_dim(id, i, dimension.data(), &length), where, "read a dimension of");
    if (slice && slice->dimension == dimension.data()) {
      if (slice->first >= length || slice->count > length - slice->first) {
        throw Error(fmt::format("{}: dimension '{}' is {}, not at least {}", state_->name,
                                slice->dimension, length, slice->first + slice->count));
      }
      length = slice->count;
    }
    // Nothing of ours writes an empty one. Without an array a size would cost the file nothing.
    if (length == 0 || length > state_->most_bytes) {
      throw Error(
          fmt::format("{}: dimension '{}' has the size {}, more or less than the file holds: "
                      "damaged",
                      state_->name, dimension.data(), length));
    }
    dataset.add_dimension(dimension.data(), length);
  }
  if (slice && !dataset.has_dimension(slice->dimension))
    throw Error(fmt::format("{}: has no dimension '{}'", state_->name, slice->dimension));
  for (int i = 0; i < variables; ++i) state_->read_array(i, dataset, only, slice);
  for (const std::string& name : only) {
    if (!dataset.has_variable(name))
      throw Error(fmt::format("{}: has no variable '{}'", state_->name, name));
  }
  dataset.attributes() = this->attributes();
  return dataset;
}

void NetcdfReader::State::read_array(int variable, Dataset& dataset,
                                     const std::vector<std::string>& only,
                                     const std::optional<DimensionSlice>& slice) const {
  std::array<char, NC_MAX_NAME + 1> variable_name{};
  std::array<int, NC_MAX_VAR_DIMS> dimension_ids{};
  nc_type type = 0;
  int rank = 0;
  int attributes = 0;
  check(nc_inq_var(id(), variable, variable_name.data(), &type, &rank, dimension_ids.data(),
                   &attributes),
        {name, ""}, "read a variable of");
  const Where where{name, variable_name.data()};
  std::vector<std::string> dimensions;
  Block block;
  std::uint64_t elements = 1;
  bool fits = true;
  for (int k = 0; k < rank; ++k) {
    const auto number = static_cast<std::size_t>(dimension_ids[k]);
    if (number >= dataset.dimensions().size()) {
      throw Error(
          fmt::format("{}: variable '{}' has a dimension of another group", name, where.variable));
    }
    const Dimension& dimension = dataset.dimensions()[number];
    dimensions.push_back(dimension.name);
    block.first.push_back(slice && slice->dimension == dimension.name ? slice->first : 0);
    block.counts.push_back(dimension.size);
    fits = fits && checked_multiply(elements, dimension.size, elements);
  }
  block.elements = elements;
  const bool is_coordinate = rank == 1 && dimensions[0] == where.variable;
  if (!is_coordinate && !only.empty() &&
      std::find(only.begin(), only.end(), where.variable) == only.end()) {
    return;
  }
  std::size_t element_bytes = 0;
  check(nc_inq_type(id(), type, nullptr, &element_bytes), where, "read the type of");
  std::uint64_t bytes = 0;
  if (!fits || !checked_multiply(elements, element_bytes, bytes) || bytes > most_bytes) {
    throw Error(fmt::format("{}: variable '{}' is larger than the file can hold: damaged", name,
                            where.variable));
  }
  ArrayValues values = get_values(id(), variable, type, block, where);
  Attributes found = get_attributes(id(), variable, attributes, where);
  if (is_coordinate) {
    dataset.add_coordinate(where.variable, std::move(values), std::move(found));
  } else {
    dataset.add_variable(where.variable, std::move(dimensions), std::move(values),
                         std::move(found));
  }
}

Dataset read_netcdf(const std::filesystem::path& path, const std::vector<std::string>& only) {
  return NetcdfReader(path).read(only);
}

}  // namespace toplens
