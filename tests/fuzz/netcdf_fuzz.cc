#include <fuzzer/FuzzedDataProvider.h>
#include <netcdf.h>
#include <sanitizer/common_interface_defs.h>
#include <sys/wait.h>
#include <toplens/error.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "fuzz/support/leaks_at_exit.h"
#include "fuzz/support/scratch_file.h"
#include "io/atomic_file.h"
#include "results/digest.h"
#include "results/netcdf_file.h"

namespace {

using namespace toplens;

/// A netCDF-4 file of whatever the library lets one write: types, sizes, groups and attributes that
/// write_netcdf never uses.
class HostileFile {
 public:
  HostileFile(FuzzedDataProvider& input, const std::filesystem::path& path) : input_(input) {
    if (nc_create(path.c_str(), NC_NETCDF4, &file_) != NC_NOERR) return;
    nc_set_fill(file_, input_.ConsumeBool() ? NC_FILL : NC_NOFILL, nullptr);
  }
  ~HostileFile() {
    if (file_ >= 0) nc_abort(file_);
  }

  bool is_open() const { return file_ >= 0; }
  /// False where the library itself refuses.
  bool finish() {
    while (input_.remaining_bytes() > 0) add_one(file_);
    // A failure of HDF5 leaves it in a state in which its next call can crash.
    if (nc_enddef(file_) != NC_NOERR) return false;
    for (const Piece& piece : pieces_) {
      if (write(piece) == NC_EHDFERR) return false;
    }
    return nc_close(std::exchange(file_, -1)) == NC_NOERR;
  }

 private:
  static constexpr std::size_t kMostRank = 5;
  static constexpr std::size_t kMostWritten = 64;  // elements of a variable

  /// What is written of a variable: a box at its start.
  struct Piece {
    int group;
    int variable;
    nc_type type;
    std::vector<std::size_t> counts;
    double value;
  };

  // A group or type and a dimension of one name would be one HDF5 object, and so would be a
  // variable and a dimension defined after it. The library finds out late (see finish), hence the
  // prefixes.
  std::string name(const char* prefix = "") {
    constexpr const char* kNames[] = {"document", "layer", "head", "x", "y", "_FillValue", "units"};
    if (input_.ConsumeBool()) return prefix + std::string(kNames[index_below(std::size(kNames))]);
    const std::string made = input_.ConsumeRandomLengthString(6);
    return prefix + std::string(made.empty() ? "empty" : made.c_str());
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
        if (nc_def_grp(group, name("group_").c_str(), &inner) == NC_NOERR) add_variable(inner);
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
                                    : std::size_t{1} << input_.ConsumeIntegralInRange(0, 61);
    }
    int id = 0;
    const std::string called = name();
    if (variables_.count(called) > 0) return;
    if (nc_def_dim(group, called.c_str(), length, &id) == NC_NOERR) {
      dimensions_.push_back(id);
    }
  }

  void add_type(int group) {
    nc_type type = 0;
    const std::string called = name("type_");
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
    const std::string called = name();
    if (nc_def_var(group, called.c_str(), type, count, dimensions.data(), &id) != NC_NOERR) return;
    variables_.insert(called);
    // In one piece a large array would be as large in the file; in many it would take long to read.
    std::vector<std::size_t> chunk;
    std::size_t room = 4096;
    double elements = 1;
    for (const int dimension : dimensions) {
      std::size_t length = 0;
      if (nc_inq_dimlen(group, dimension, &length) != NC_NOERR) return;
      elements *= std::max<double>(length, 1);
      chunk.push_back(std::clamp<std::size_t>(length, 1, room));
      room = std::max<std::size_t>(room / chunk.back(), 1);
    }
    if (count > 0 && nc_def_var_chunking(group, id, NC_CHUNKED, chunk.data()) != NC_NOERR) return;
    if (input_.ConsumeBool()) nc_def_var_deflate(group, id, 1, 1, 1);
    while (input_.ConsumeBool()) add_attribute(group, id);
    // More elements than HDF5 can count may be defined, not written.
    if (type > NC_STRING || elements > 0x1p60) return;
    Piece piece{group, id, type, std::vector<std::size_t>(dimensions.size(), 1),
                input_.ConsumeFloatingPoint<double>()};
    if (count > 0)
      piece.counts.back() = input_.ConsumeIntegralInRange<std::size_t>(1, kMostWritten);
    pieces_.push_back(piece);
  }

  static int write(const Piece& piece) {
    const std::vector<std::size_t> first(piece.counts.size(), 0);
    if (piece.type == NC_STRING) {
      std::vector<const char*> texts(kMostWritten, "text");
      return nc_put_vara_string(piece.group, piece.variable, first.data(), piece.counts.data(),
                                texts.data());
    }
    const std::vector<double> values(kMostWritten, piece.value);
    return nc_put_vara(piece.group, piece.variable, first.data(), piece.counts.data(),
                       values.data());
  }

  FuzzedDataProvider& input_;
  int file_ = -1;
  std::vector<int> dimensions_;
  std::vector<nc_type> types_;
  std::set<std::string> variables_;  // of all groups
  std::vector<Piece> pieces_;
};

/// Writes the file in a process of its own: what is tried here is reading, and the libraries crash
/// and leak when they write some of these. False where they did or refused.
bool write_hostile_file(FuzzedDataProvider& input, const std::filesystem::path& path) {
  constexpr int kNotBegun = 3;
  const pid_t child = fork();
  if (child < 0) std::abort();
  if (child == 0) {
    // A crash is no finding, so no report and no artifact.
    __sanitizer_set_death_callback(nullptr);
    for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGALRM})
      std::signal(signal, SIG_DFL);
    if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(kNotBegun);
    alarm(5);
    HostileFile file(input, path);
    if (!file.is_open()) _exit(kNotBegun);
    _exit(file.finish() ? 0 : 1);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  if (WIFEXITED(status) && WEXITSTATUS(status) == kNotBegun) std::abort();
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/// Else every input could be one that the library refuses.
void check_that_files_are_written(const std::filesystem::path& path) {
  FuzzedDataProvider nothing(nullptr, 0);
  if (!write_hostile_file(nothing, path) || read_text_file(path).empty()) std::abort();
}

}  // namespace

// What NetcdfReader makes of files that are sound in themselves and as no program of ours writes
// them. Damaged bytes are not what is tried here: the checksum refuses them, and behind it they
// would be HDF5's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const testing::ScratchFile scratch;
  static const bool checked = (check_that_files_are_written(scratch.path()), true);
  static_cast<void>(checked);
  FuzzedDataProvider input(data, size);
  const std::string slice = input.ConsumeBool() ? "layer" : "";
  if (!write_hostile_file(input, scratch.path())) return 0;
  std::string bytes = read_text_file(scratch.path());
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
