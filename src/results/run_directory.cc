#include "results/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <regex>

#include <fmt/format.h>

#include "io/atomic_file.h"
#include "io/json_text.h"
#include "io/system_error.h"
#include "io/temporary_file.h"

namespace toplens {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRunJson = "run.json";
constexpr const char* kParts = "parts";
constexpr const char* kSettingsAttribute = "settings_sha256";
// JSON; of parts alone, since those of one run may have been computed in different places.
constexpr const char* kEnvironmentAttribute = "environment";
constexpr int kMostDocuments = 1'000'000'000;

// What io/temporary_file.h calls a file under construction, for the files of a run directory.
bool is_leftover(const fs::path& path) {
  static const std::regex kPattern(
      R"(\.(run\.json|[a-z]+\.(nc|csv|html|json)|part-[0-9]{4,}\.nc)\.[0-9]+-[0-9]+\.tmp)");
  return std::regex_match(path.filename().string(), kPattern);
}

std::optional<int> part_index(const fs::path& path) {
  static const std::regex kPattern(R"(part-([0-9]{4,9})\.nc)");
  std::smatch match;
  const std::string name = path.filename().string();
  if (!std::regex_match(name, match, kPattern)) return std::nullopt;
  return std::stoi(match[1]);
}

std::vector<fs::path> entries(const fs::path& directory) {
  std::vector<fs::path> found;
  try {
    for (const auto& entry : fs::directory_iterator(directory)) found.push_back(entry.path());
  } catch (const fs::filesystem_error& error) {
    throw_system_error(directory, "cannot list", error.code().value());
  }
  std::sort(found.begin(), found.end());
  return found;
}

void make_directory(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (!error && !fs::is_directory(path, error)) error.assign(ENOTDIR, std::generic_category());
  if (error) throw_system_error(path, "cannot make the output directory", error.value());
}

// What is in the way of a new run: neither leftovers nor a folder parts/ that holds nothing else.
std::vector<std::string> contents(const fs::path& directory) {
  std::vector<std::string> names;
  for (const fs::path& path : entries(directory)) {
    if (is_leftover(path)) continue;
    if (path.filename() == kParts && fs::is_directory(path)) {
      const std::vector<fs::path> parts = entries(path);
      if (std::all_of(parts.begin(), parts.end(), is_leftover)) continue;
    }
    names.push_back(path.filename().string());
  }
  return names;
}

std::string list_some(const std::vector<std::string>& names) {
  if (names.size() == 1) return in_quotes(names[0]);
  return fmt::format("{} and {} more", in_quotes(names[0]), names.size() - 1);
}

void remove_leftovers(const fs::path& directory) {
  for (const fs::path& path : entries(directory)) {
    if (!is_leftover(path)) continue;
    std::error_code error;
    fs::remove(path, error);
    if (error) throw_system_error(path, "cannot remove a temporary file", error.value());
  }
}

bool is_complete(const nlohmann::ordered_json& run) { return run.at("status") == "complete"; }

// Keys sorted: run.json, read back, does not keep their order.
std::string settings_digest(const nlohmann::ordered_json& settings) {
  return sha256(nlohmann::json(settings).dump());
}

// "weights_sha256": file name to digest; null where whole files were not digested.
nlohmann::ordered_json recorded_weight_files(const nlohmann::ordered_json& run) {
  const auto model = run.find("model");
  if (model == run.end() || !model->is_object()) return nullptr;
  const auto found = model->find("weights_sha256");
  return found == model->end() ? nlohmann::ordered_json() : *found;
}

void check_weight_files(const fs::path& path, const nlohmann::ordered_json& run,
                        const RunManifest& manifest) {
  const nlohmann::ordered_json there = recorded_weight_files(run);
  const auto& here = manifest.model.digests.weight_files;
  if (there.empty() || here.empty()) return;
  if (const std::string difference = first_difference(there, here); !difference.empty()) {
    throw Error(fmt::format(
        "{}: cannot resume: the weights are not those that the run began with: SHA-256 differs of "
        "{}; use the weights of that run, or another --out",
        path.string(), difference));
  }
}

fs::path part_path(const fs::path& run_directory, int index) {
  return run_directory / kParts / fmt::format("part-{:04}.nc", index);
}

std::string part_name(int index) { return part_path("", index).string(); }

std::string json_text(const nlohmann::ordered_json& json) {
  // Document names and paths may be no UTF-8, which JSON must be.
  return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

// An advisory lock on the directory itself: no file of its own, and it ends with the process.
class RunDirectory::Lock {
 public:
  explicit Lock(const fs::path& path)
      : descriptor_(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (descriptor_ < 0) throw_system_error(path, "cannot open the output directory", errno);
    // Other reasons (a file system without locks) are no reason to refuse the work.
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      ::close(descriptor_);
      throw Error(
          fmt::format("{}: another process is writing this run; wait for it, or choose "
                      "another --out",
                      path.string()));
    }
  }
  ~Lock() { ::close(descriptor_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  int descriptor_;
};

bool holds_run(const fs::path& run_directory) {
  std::error_code ignored;
  return fs::exists(run_directory / kRunJson, ignored);
}

nlohmann::ordered_json read_run_json(const fs::path& run_directory) {
  const fs::path path = run_directory / kRunJson;
  const nlohmann::ordered_json run = parse_json(read_text_file(path), path.string());
  const auto damaged = [&](std::string_view what) {
    throw Error(fmt::format("{}: is no run.json of toplens: {}", path.string(), what));
  };
  if (!run.is_object()) damaged("not a JSON object");
  if (!run.contains("schema_version") || !run["schema_version"].is_number_integer())
    damaged("no integer schema_version");
  if (const auto version = run["schema_version"].get<std::int64_t>();
      version != kRunSchemaVersion) {
    throw Error(fmt::format("{}: has schema_version {}, this toplens reads {}", path.string(),
                            version, kRunSchemaVersion));
  }
  if (!run.contains("status") || !run["status"].is_string()) damaged("no status");
  if (!run.contains("settings") || !run["settings"].is_object()) damaged("no settings");
  return run;
}

std::uint64_t recorded_seed(const nlohmann::ordered_json& run) {
  constexpr std::uint64_t kDefault = 2027;
  const nlohmann::ordered_json& settings = run.at("settings");
  const auto protocol = settings.find("protocol");
  if (protocol == settings.end()) return kDefault;
  const auto seed = protocol->find("seed");
  if (seed == protocol->end()) return kDefault;
  if (!seed->is_number_unsigned() &&
      !(seed->is_number_integer() && seed->get<std::int64_t>() >= 0)) {
    throw Error(fmt::format("{}: settings.protocol.seed is no seed", kRunJson));
  }
  return seed->get<std::uint64_t>();
}

int recorded_documents(const nlohmann::ordered_json& run) {
  const nlohmann::ordered_json& settings = run.at("settings");
  const auto found = settings.find("documents");
  if (found == settings.end() || !found->is_number_integer() || found->get<std::int64_t>() < 1 ||
      found->get<std::int64_t>() > kMostDocuments) {
    throw Error(
        fmt::format("{}: settings.documents is no number of 1 to {}", kRunJson, kMostDocuments));
  }
  return found->get<int>();
}

PartsReader::PartsReader(const fs::path& run_directory, int count,
                         const std::string& settings_sha256) {
  for (int index = 0; index < count; ++index) {
    const fs::path path = part_path(run_directory, index);
    names_.push_back(path.string());
    try {
      parts_.emplace_back(path);
    } catch (const Error& error) {
      throw Error(fmt::format("{}; remove the part if it is there and run again with --resume",
                              error.what()));
    }
    const Attributes attributes = parts_.back().attributes();
    const auto found = attributes.find(kSettingsAttribute);
    if (found == attributes.end() || found->second != AttributeValue(settings_sha256)) {
      throw Error(fmt::format("{}: is a part of another run; remove it and run again with --resume",
                              path.string()));
    }
  }
}

namespace {

int documents_per_part(const nlohmann::ordered_json& run, const fs::path& run_directory) {
  const auto found = run.find("documents_per_part");
  if (found == run.end() || !found->is_number_integer() || found->get<std::int64_t>() < 1 ||
      found->get<std::int64_t>() > kMostDocuments) {
    throw Error(
        fmt::format("{}: no positive documents_per_part", (run_directory / kRunJson).string()));
  }
  return found->get<int>();
}

/// Throws Error where a directory is no place for a new run.
void check_unoccupied(const fs::path& path, const RunManifest& manifest) {
  const std::vector<std::string> found = contents(path);
  if (found.empty()) return;
  if (!fs::exists(path / kRunJson)) {
    throw Error(fmt::format(
        "{}: the output directory is not empty and holds no run ({}); choose another --out",
        path.string(), list_some(found)));
  }
  const nlohmann::ordered_json run = read_run_json(path);
  const std::string difference = first_difference(run["settings"], manifest.settings());
  if (!difference.empty()) {
    throw Error(
        fmt::format("{}: the output directory holds another run: settings differ in {}; "
                    "choose another --out",
                    path.string(), difference));
  }
  throw Error(is_complete(run)
                  ? fmt::format("{}: the output directory holds this very run, complete; choose "
                                "another --out",
                                path.string())
                  : fmt::format("{}: the output directory holds this very run, unfinished; go on "
                                "with --resume, or choose another --out",
                                path.string()));
}

/// False where the run was interrupted before its run.json was there. Throws Error where there was
/// none.
bool has_run_to_resume(const fs::path& path) {
  if (!fs::is_directory(path)) {
    throw Error(fmt::format("{}: nothing to resume: no such directory; leave --resume out to start",
                            path.string()));
  }
  if (fs::exists(path / kRunJson)) return true;
  const std::vector<std::string> found = contents(path);
  if (found.empty()) return false;
  throw Error(
      fmt::format("{}: nothing to resume: the directory holds no run.json ({}); choose "
                  "another --out",
                  path.string(), list_some(found)));
}

void check_same_run(const fs::path& path, const nlohmann::ordered_json& run,
                    const RunManifest& manifest) {
  const std::string difference = first_difference(run["settings"], manifest.settings());
  if (!difference.empty()) {
    throw Error(
        fmt::format("{}: cannot resume another run: settings differ in {}; use the "
                    "settings of that run, or another --out",
                    path.string(), difference));
  }
  if (const int per_part = documents_per_part(run, path); per_part != manifest.documents_per_part) {
    throw Error(fmt::format("{}: cannot resume with {} documents per part, the run has {}",
                            path.string(), manifest.documents_per_part, per_part));
  }
}

}  // namespace

PartsReader PartsReader::of_run(const fs::path& run_directory) {
  const nlohmann::ordered_json run = read_run_json(run_directory);
  if (!is_complete(run)) {
    throw Error(fmt::format("{}: the run is not complete; finish it with analyze --resume",
                            run_directory.string()));
  }
  const int per_part = documents_per_part(run, run_directory);
  const int documents = recorded_documents(run);
  return PartsReader(run_directory, (documents + per_part - 1) / per_part,
                     settings_digest(run["settings"]));
}

Dataset PartsReader::read(const std::vector<std::string>& only,
                          const std::optional<DimensionSlice>& slice) const {
  std::vector<Dataset> parts;
  for (const NetcdfReader& part : parts_) {
    parts.push_back(part.read(only, slice));
    parts.back().attributes().erase(kEnvironmentAttribute);
  }
  return concatenate_documents(parts, names_);
}

std::size_t PartsReader::documents(int part) const {
  return parts_.at(static_cast<std::size_t>(part)).dimension_size("document");
}

Dataset PartsReader::read_documents(int part, std::size_t first, std::size_t count) const {
  return parts_.at(static_cast<std::size_t>(part))
      .read({}, DimensionSlice{"document", first, count});
}

nlohmann::ordered_json PartsReader::environment(int part) const {
  const auto index = static_cast<std::size_t>(part);
  const Attributes attributes = parts_.at(index).attributes();
  const auto found = attributes.find(kEnvironmentAttribute);
  if (found == attributes.end()) return nullptr;
  const auto* text = std::get_if<std::string>(&found->second);
  return text == nullptr ? nullptr : parse_json(*text, names_[index]);
}

RunDirectory::RunDirectory(fs::path path, std::unique_ptr<Lock> lock, const RunManifest& manifest)
    : path_(std::move(path)),
      lock_(std::move(lock)),
      settings_sha256_(settings_digest(manifest.settings())),
      environment_(manifest.environment().dump()) {}
RunDirectory::RunDirectory(RunDirectory&&) noexcept = default;
RunDirectory& RunDirectory::operator=(RunDirectory&&) noexcept = default;
RunDirectory::~RunDirectory() = default;

RunDirectory RunDirectory::create(const fs::path& path, const RunManifest& manifest) {
  std::error_code ignored;
  const bool is_new = !fs::exists(path, ignored);
  make_directory(path);
  auto lock = std::make_unique<Lock>(path);
  check_unoccupied(path, manifest);
  remove_leftovers(path);
  make_directory(path / kParts);
  remove_leftovers(path / kParts);
  RunDirectory run(path, std::move(lock), manifest);
  run.made_directory_ = is_new;
  run.write_manifest(manifest);
  return run;
}

RunDirectory RunDirectory::resume(const fs::path& path, const RunManifest& manifest) {
  if (!has_run_to_resume(path)) return create(path, manifest);
  auto lock = std::make_unique<Lock>(path);
  const nlohmann::ordered_json run = read_run_json(path);
  check_same_run(path, run, manifest);
  check_weight_files(path, run, manifest);
  std::optional<FileRecords> files = files_of(run, (path / kRunJson).string());
  make_directory(path / kParts);
  remove_leftovers(path);
  remove_leftovers(path / kParts);
  RunDirectory resumed(path, std::move(lock), manifest);
  if (files) resumed.kept_ = std::move(*files);
  resumed.write_manifest(manifest);
  return resumed;
}

void RunDirectory::check_create(const fs::path& path, const RunManifest& manifest) {
  if (!fs::exists(path)) return;
  make_directory(path);  // there already, or no directory
  check_unoccupied(path, manifest);
}

void RunDirectory::check_resume(const fs::path& path, const RunManifest& manifest) {
  if (has_run_to_resume(path)) check_same_run(path, read_run_json(path), manifest);
}

int RunDirectory::recorded_documents_per_part(const fs::path& path) {
  if (!fs::exists(path / kRunJson)) return 0;
  return documents_per_part(read_run_json(path), path);
}

bool RunDirectory::records_weight_files(const fs::path& path) {
  return fs::exists(path / kRunJson) && !recorded_weight_files(read_run_json(path)).empty();
}

fs::path RunDirectory::part_path(int index) const { return toplens::part_path(path_, index); }

std::vector<int> RunDirectory::finished_parts() const {
  std::vector<int> parts;
  for (const fs::path& path : entries(path_ / kParts)) {
    if (const std::optional<int> index = part_index(path)) parts.push_back(*index);
  }
  std::sort(parts.begin(), parts.end());
  return parts;
}

void RunDirectory::write_part(int index, Dataset part) {
  part.attributes()[kSettingsAttribute] = settings_sha256_;
  part.attributes()[kEnvironmentAttribute] = environment_;
  write_netcdf(part_path(index), part);
}

std::string RunDirectory::part_contents(int index, Dataset part, const RunManifest& manifest) {
  part.attributes()[kSettingsAttribute] = settings_digest(manifest.settings());
  part.attributes()[kEnvironmentAttribute] = manifest.environment().dump();
  return netcdf_contents(part_name(index), part);
}

PartsReader RunDirectory::open_parts(int count) const {
  return PartsReader(path_, count, settings_sha256_);
}

void RunDirectory::discard_unstarted() {
  if (!finished_parts().empty()) return;
  std::error_code ignored;  // what stays behind is an unfinished run, which a later one names
  fs::remove(path_ / kRunJson, ignored);
  fs::remove(path_ / kParts, ignored);
  if (made_directory_) fs::remove(path_, ignored);
}

void RunDirectory::write_manifest(const RunManifest& manifest) {
  RunManifest written = manifest;
  written.files.insert(kept_.begin(), kept_.end());  // where the manifest has no newer record
  write_file_atomically(path_ / kRunJson, json_text(written.to_json()));
}

void RunDirectory::write_dataset(std::string_view file_name, const Dataset& dataset) {
  write_netcdf(path_ / file_name, dataset);
  results_.emplace_back(file_name);
}

void RunDirectory::write_text(std::string_view file_name, std::string_view contents) {
  write_file_atomically(path_ / file_name, contents);
  results_.emplace_back(file_name);
}

void RunDirectory::complete(RunManifest& manifest, std::span<const std::string_view> to_be_added) {
  for (const std::string& name : results_) manifest.files[name] = describe_file(path_ / name);
  for (const int index : finished_parts()) {
    manifest.files[part_name(index)] = describe_file(part_path(index));
  }
  std::erase_if(kept_, [&](const auto& entry) {
    const auto& [name, record] = entry;
    return manifest.files.contains(name) || std::ranges::count(to_be_added, name) > 0 ||
           !is_as_recorded(path_, name, record);
  });
  manifest.complete = true;
  write_manifest(manifest);
}

void RunDirectory::add_result(const std::string& file_name, RunManifest& manifest) {
  manifest.files[file_name] = describe_file(path_ / file_name);
  write_manifest(manifest);
}

void RunDirectory::record_later_results(const fs::path& directory,
                                        const std::vector<std::string>& file_names) {
  const fs::path path = directory.empty() ? "." : directory;
  // A run that goes on records its files itself.
  if (!fs::exists(path / kRunJson) || !is_complete(read_run_json(path))) return;
  const Lock lock(path);
  if (!is_complete(read_run_json(path))) return;
  remove_abandoned(path / kRunJson);
  const std::string where = (path / kRunJson).string();
  // Read again in its own order, now that it is known to be sound.
  auto run = nlohmann::ordered_json::parse(read_text_file(path / kRunJson));
  std::optional<FileRecords> files = files_of(run, where);
  if (!files) return;  // a run of an older version records none
  for (const std::string& name : file_names) {
    files->erase(name);
    if (fs::exists(path / name)) (*files)[name] = describe_file(path / name);
  }
  run["files"] = files_json(*files);
  write_file_atomically(path / kRunJson, json_text(run));
}

}  // namespace toplens
