#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "results/dataset.h"
#include "results/netcdf_file.h"
#include "results/run_files.h"
#include "results/run_manifest.h"

namespace toplens {

/// The finished parts of a run, read together: what pooling, reports and recomputations see.
class PartsReader {
 public:
  /// Parts 0 .. count - 1 of the run at `run_directory` whose settings have this digest. Throws
  /// Error naming a part that is absent, damaged or of another run.
  PartsReader(const std::filesystem::path& run_directory, int count,
              const std::string& settings_sha256);
  /// Of a complete run, as its run.json describes it. Throws Error where it is none.
  static PartsReader of_run(const std::filesystem::path& run_directory);

  /// Variables of all parts one after the other along `document`; as NetcdfReader::read.
  Dataset read(const std::vector<std::string>& only = {},
               const std::optional<DimensionSlice>& slice = std::nullopt) const;
  int count() const { return static_cast<int>(parts_.size()); }
  std::size_t documents(int part) const;
  /// Of one part, everything: `count` of its documents from its `first` on.
  Dataset read_documents(int part, std::size_t first, std::size_t count) const;
  /// The environment of the process that computed a part (RunManifest::environment()); null where
  /// an older version did.
  nlohmann::ordered_json environment(int part) const;
  /// Of the first part; all are alike.
  bool has_variable(const std::string& name) const { return parts_.front().has_variable(name); }
  std::size_t dimension_size(const std::string& name) const {
    return parts_.front().dimension_size(name);
  }

 private:
  std::vector<NetcdfReader> parts_;
  std::vector<std::string> names_;
};

/// Where results go, by the name of their file.
class ResultSink {
 public:
  virtual ~ResultSink() = default;
  virtual void write_dataset(std::string_view file_name, const Dataset& dataset) = 0;
  virtual void write_text(std::string_view file_name, std::string_view contents) = 0;
};

/// The directory of one run: run.json, parts/part-0000.nc (one finished batch each), geometry.nc,
/// heads.csv. Every file appears whole or not at all, and nothing that this class did not write is
/// ever removed. A directory is locked while an object is alive (the lock dies with the process).
class RunDirectory : public ResultSink {
 public:
  /// Starts a run: makes the directory where it is absent and writes run.json. Throws Error where
  /// it cannot be written or already holds something, saying what and what to do.
  static RunDirectory create(const std::filesystem::path& path, const RunManifest& manifest);
  /// Goes on with an interrupted run, or makes the results of a complete one anew: removes the
  /// temporary files it left, and keeps what run.json records of files. Throws Error where the
  /// directory holds no run, or one with other settings, naming the first that differs, or one
  /// whose recorded digests of whole weight files are not those of the manifest, where it has them.
  /// A directory whose run was interrupted before its run.json was there is started anew.
  static RunDirectory resume(const std::filesystem::path& path, const RunManifest& manifest);
  /// Throws what create() and resume() would, digests of whole weight files left out, and changes
  /// nothing: before work that would be lost.
  static void check_create(const std::filesystem::path& path, const RunManifest& manifest);
  static void check_resume(const std::filesystem::path& path, const RunManifest& manifest);
  /// How many documents a part of the run at `path` holds, for a resuming run to keep to; 0 where
  /// there is no run yet. Throws Error where run.json cannot be read.
  static int recorded_documents_per_part(const std::filesystem::path& path);
  /// Whether the run at `path` recorded digests of whole weight files, for a resuming run to do the
  /// same; false where there is no run yet. Throws Error where run.json cannot be read.
  static bool records_weight_files(const std::filesystem::path& path);

  RunDirectory(RunDirectory&&) noexcept;
  RunDirectory& operator=(RunDirectory&&) noexcept;
  ~RunDirectory() override;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path part_path(int index) const;

  /// Indices of the finished parts, increasing.
  std::vector<int> finished_parts() const;
  /// `part` has the leading dimension `document`, and gets the digest of the run's settings.
  void write_part(int index, Dataset part);
  /// What write_part writes, for a process that sends it to the one that has the directory.
  static std::string part_contents(int index, Dataset part, const RunManifest& manifest);
  /// Parts 0 .. count - 1. Throws Error naming a part that is absent, damaged or of another run,
  /// and what to do.
  PartsReader open_parts(int count) const;

  /// Takes back what create() or resume() made, if no part is finished: a run that failed at once
  /// leaves nothing half-written. The directory itself goes only if it was made here.
  void discard_unstarted();

  void write_manifest(const RunManifest& manifest);
  void write_dataset(std::string_view file_name, const Dataset& dataset) override;
  void write_text(std::string_view file_name, std::string_view contents) override;

  /// The run is over: size and SHA-256 of every part and result enter the manifest, which is marked
  /// complete and written. What a resumed run's run.json said of other files stands there again
  /// where they still are as they were, but for those that add_result() is about to add.
  void complete(RunManifest& manifest, std::span<const std::string_view> to_be_added = {});
  /// The same for a result that something else wrote into the directory of the complete run.
  void add_result(const std::string& file_name, RunManifest& manifest);
  /// For other commands that write files into a directory which may be that of a complete run: its
  /// run.json records them as they now are (where they are not there, no longer). Nothing happens
  /// in a directory without a complete run. Throws Error where run.json cannot be read or written,
  /// or another process is writing the run.
  static void record_later_results(const std::filesystem::path& directory,
                                   const std::vector<std::string>& file_names);

 private:
  class Lock;
  RunDirectory(std::filesystem::path path, std::unique_ptr<Lock> lock, const RunManifest& manifest);

  std::filesystem::path path_;
  std::unique_ptr<Lock> lock_;
  std::string settings_sha256_;
  std::string environment_;
  std::vector<std::string> results_;  ///< names of the files written, without run.json and parts
  FileRecords kept_;                  ///< as the run.json of a resumed run has them
  bool made_directory_ = false;
};

/// Whether a run was begun there, in whatever state it is.
bool holds_run(const std::filesystem::path& run_directory);

/// run.json of a run directory. Throws Error where it is absent, damaged, or of a newer version.
nlohmann::ordered_json read_run_json(const std::filesystem::path& run_directory);
/// Seed of the protocol in a run.json; 2027, the default, where it has none. Throws Error where it
/// is no seed.
std::uint64_t recorded_seed(const nlohmann::ordered_json& run);
/// How many documents the run has by its run.json. Throws Error where it does not say, or no number
/// that a run can have.
int recorded_documents(const nlohmann::ordered_json& run);

}  // namespace toplens
