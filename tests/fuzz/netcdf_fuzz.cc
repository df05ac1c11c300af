#include <fuzzer/FuzzedDataProvider.h>
#include <netcdf.h>
#include <netcdf_mem.h>
#include <toplens/error.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "fuzz/support/leaks_at_exit.h"
#include "fuzz/support/scratch_file.h"
#include "results/digest.h"
#include "results/netcdf_file.h"

namespace {

using namespace toplens;

/// A netCDF-4 file of whatever the library lets one write: types, sizes, groups and attributes that
/// write_netcdf never uses.
class HostileFile {
 public:
  explicit HostileFile(FuzzedDataProvider& input) : input_(input) {
    if (nc_create_mem("fuzz", NC_NETCDF4, 1, &file_) != NC_NOERR) std::abort();
    nc_set_fill(file_, input_.ConsumeBool() ? NC_FILL : NC_NOFILL, nullptr);
  }
  ~HostileFile() {
    if (file_ >= 0) nc_abort(file_);
  }

  /// The bytes; nothing where the library itself refuses.
  std::string bytes() {
    while (input_.remaining_bytes() > 0) add_one(file_);
    NC_memio image{};
    const int file = std::exchange(file_, -1);
    if (nc_close_memio(file, &image) != NC_NOERR) return "";
    const std::unique_ptr<void, decltype(&std::free)> owned(image.memory, &std::free);
    return {static_cast<const char*>(image.memory), image.size};
  }

 private:
  static constexpr std::size_t kMostRank = 5;
  static constexpr std::size_t kMostWritten = 64;  // elements of a variable

  std::string name() {
    constexpr const char* kNames[] = {"document", "layer", "head", "x", "y", "_FillValue", "units"};
    if (input_.ConsumeBool()) return kNames[index_below(std::size(kNames))];
    std::string made = input_.ConsumeRandomLengthString(6);
    return made.empty() ? "empty" : made.c_str();
  }
  std::size_t index_below(std::size_t size) {
    return input_.ConsumeIntegralInRange<std::size_t>(0, size - 1);
  }

  // Whatever the library refuses is left out.
  void add_one(int group) {
    switch (input_.ConsumeIntegralInRange(0, 9)) {
      case 0:
      case 1:
        add_dimension(group);
        break;
      case 2:
      case 3:
      case 4:
      case 5:
        add_variable(group);
        break;
      case 6:
      case 7:
        add_attribute(group, NC_GLOBAL);
        break;
      case 8: {
        int inner = 0;
        if (nc_def_grp(group, name().c_str(), &inner) == NC_NOERR) add_variable(inner);
        break;
      }
      default:
        add_type(group);
    }
  }

  void add_dimension(int group) {
    std::size_t length = input_.ConsumeIntegralInRange<std::size_t>(1, 8);
    if (input_.ConsumeBool()) {
      length = input_.ConsumeBool() ? NC_UNLIMITED
                                    : std::size_t{1} << input_.ConsumeIntegralInRange(0, 62);
    }
    int id = 0;
    if (nc_def_dim(group, name().c_str(), length, &id) == NC_NOERR) {
      dimensions_.push_back(id);
    }
  }

  void add_type(int group) {
    nc_type type = 0;
    const std::string called = name();
    int status = NC_NOERR;
    switch (input_.ConsumeIntegralInRange(0, 3)) {
      case 0:
        status = nc_def_vlen(group, called.c_str(), NC_INT, &type);
        break;
      case 1:
        status = nc_def_opaque(group, 3, called.c_str(), &type);
        break;
      case 2:
        status = nc_def_enum(group, NC_INT, called.c_str(), &type);
        if (status == NC_NOERR) {
          const int value = 1;
          status = nc_insert_enum(group, type, "one", &value);
        }
        break;
      default:
        status = nc_def_compound(group, 8, called.c_str(), &type);
        if (status == NC_NOERR) status = nc_insert_compound(group, type, "x", 0, NC_DOUBLE);
    }
    if (status == NC_NOERR) types_.push_back(type);
  }

  void add_attribute(int group, int variable) {
    std::vector<char> bytes = input_.ConsumeBytes<char>(64);
    bytes.resize(64);
    const std::string called = name();
    const std::size_t length = input_.ConsumeIntegralInRange<std::size_t>(0, 4);
    if (input_.ConsumeBool()) {
      std::vector<const char*> texts(length, "text");
      nc_put_att_string(group, variable, called.c_str(), length, texts.data());
      return;
    }
    const auto type = static_cast<nc_type>(input_.ConsumeIntegralInRange<int>(NC_BYTE, NC_UINT64));
    nc_put_att(group, variable, called.c_str(), type, length, bytes.data());
  }

  void add_variable(int group) {
    std::vector<int> dimensions;
    const std::size_t rank = index_below(kMostRank + 1);
    for (std::size_t i = 0; i < rank && !dimensions_.empty(); ++i) {
      dimensions.push_back(dimensions_[index_below(dimensions_.size())]);
    }
    nc_type type = input_.ConsumeIntegralInRange<int>(NC_BYTE, NC_STRING);
    if (!types_.empty() && input_.ConsumeBool()) type = types_[index_below(types_.size())];
    int id = 0;
    const int count = static_cast<int>(dimensions.size());
    if (nc_def_var(group, name().c_str(), type, count, dimensions.data(), &id) != NC_NOERR) return;
    // In one piece a large array would be as large in the file; in many it would take long to read.
    std::vector<std::size_t> chunk;
    std::size_t room = 4096;
    for (const int dimension : dimensions) {
      std::size_t length = 0;
      if (nc_inq_dimlen(group, dimension, &length) != NC_NOERR) return;
      chunk.push_back(std::clamp<std::size_t>(length, 1, room));
      room = std::max<std::size_t>(room / chunk.back(), 1);
    }
    if (count > 0 && nc_def_var_chunking(group, id, NC_CHUNKED, chunk.data()) != NC_NOERR) return;
    if (input_.ConsumeBool()) nc_def_var_deflate(group, id, 1, 1, 1);
    while (input_.ConsumeBool()) add_attribute(group, id);
    if (type > NC_STRING) return;
    nc_enddef(file_);
    std::vector<std::size_t> first(dimensions.size(), 0), counts(dimensions.size(), 1);
    if (count > 0) counts.back() = input_.ConsumeIntegralInRange<std::size_t>(1, kMostWritten);
    if (type == NC_STRING) {
      std::vector<const char*> texts(kMostWritten, "text");
      nc_put_vara_string(group, id, first.data(), counts.data(), texts.data());
    } else {
      const std::vector<double> values(kMostWritten, input_.ConsumeFloatingPoint<double>());
      nc_put_vara(group, id, first.data(), counts.data(), values.data());
    }
    nc_redef(file_);
  }

  FuzzedDataProvider& input_;
  int file_ = -1;
  std::vector<int> dimensions_;
  std::vector<nc_type> types_;
};

}  // namespace

// What NetcdfReader makes of files that are sound in themselves and as no program of ours writes
// them. Damaged bytes are not what is tried here: the checksum refuses them, and behind it they
// would be HDF5's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const testing::ScratchFile scratch;
  FuzzedDataProvider input(data, size);
  const std::string slice = input.ConsumeBool() ? "layer" : "";
  std::string bytes = HostileFile(input).bytes();
  if (bytes.empty()) return 0;
  bytes += fmt::format("\ntoplens-sha256 {}\n", sha256(bytes));
  scratch.write(bytes);
  try {
    const NetcdfReader reader(scratch.path());
    reader.attributes();
    const Dataset dataset =
        slice.empty() ? reader.read() : reader.read({}, DimensionSlice{slice, 0, 1});
    for (const LabelledArray& array : dataset.variables()) {
      std::size_t elements = 1;
      for (const std::string& name : array.dimensions) elements *= dataset.dimension_size(name);
      if (toplens::size(array.values) != elements) std::abort();
    }
  } catch (const Error&) {
  }
  return 0;
}
