#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "corpus/corpus.h"
#include "kernels/cpu_info.h"
#include "model/model_config.h"
#include "results/digest.h"
#include "results/run_files.h"

namespace toplens {

/// Of run.json. A run directory of a newer version is refused.
inline constexpr int kRunSchemaVersion = 1;

struct ModelRecord {
  std::filesystem::path path;
  ModelConfig config;
  CheckpointDigests digests;
};

/// The digests as run.json has them, those of whole weight files left out.
nlohmann::ordered_json digests_json(const CheckpointDigests& digests);

struct WindowRecord {
  std::string document;
  std::size_t first_token = 0;
  std::size_t num_tokens = 0;
};

struct TextRecord {
  std::filesystem::path path;
  std::string kind;           ///< "text", "jsonl" or "tokens"
  std::string tokens_sha256;  ///< digest_token_ids of the windows used
  std::size_t windows_available = 0;
  int context_length = 0;
  std::optional<std::int32_t> bos_id;  ///< the token each window starts with, if one was added
  std::string bos_source;              ///< who decided about it, in words
  std::vector<WindowRecord> windows;   ///< those used
};

/// Fills windows, tokens_sha256, windows_available and context_length (the longest window).
TextRecord describe_text(std::span<const Document> documents, std::span<const TokenWindow> used,
                         std::size_t windows_available);

/// Label of a window on the `document` dimension: "moby_dick.txt@1023".
std::string window_label(const WindowRecord& window);

/// What is measured, in the spelling of the command line.
struct Protocol {
  std::vector<int> set_sizes;
  std::vector<std::string> rankings;
  std::vector<std::string> distances;
  std::string queries;  ///< "last", "all" or "tail:K"
  int random_repeats = 0;
  bool random_at_all_queries = false;
  bool random_inversions = false;
  std::uint64_t seed = 0;
  std::string compute;  ///< as resolved: "f32" or "bf16"
  bool theory = false;  ///< whether parts hold what the theory needs
  std::vector<std::string> metrics = {};
  bool measures = false;                  ///< whether parts hold signatures and measures
  std::vector<int> context_lengths = {};  ///< at which they are measured; empty without them
  int detector_sequences = 0;
  int detector_tokens = 0;
  std::map<std::string, double> regime_thresholds = {};
};

struct StageTiming {
  std::string name;
  double wall_seconds = 0;
  double cpu_seconds = 0;  ///< of the process, all threads together
};

/// A process of the run, what it did.
struct RankRecord {
  std::string host;
  CpuInfo cpu;
  int threads = 0;
  std::uint64_t documents = 0;  ///< computed here, not read from finished parts
  double cpu_seconds = 0;
  std::uint64_t peak_resident_bytes = 0;
};

/// A run as run.json records it.
struct RunManifest {
  bool complete = false;
  std::vector<std::string> command_line;
  std::filesystem::path working_directory;              ///< what relative paths start from
  std::string started;                                  ///< utc_now() at the start
  std::map<std::string, std::string> library_versions;  ///< "oneDNN" -> "2.6.3"
  ModelRecord model;
  TextRecord text;
  Protocol protocol;
  int documents_per_part = 0;
  int threads = 0;
  std::uint64_t memory_budget_bytes = 0;
  std::vector<StageTiming> timings;
  std::vector<RankRecord> ranks;  ///< rank 0 first
  std::uint64_t gathered_bytes = 0;
  double gather_seconds = 0;  ///< rank 0's for receiving and writing other ranks' parts
  double cpu_seconds = 0;     ///< of all ranks
  std::optional<std::uint64_t> peak_resident_bytes;   ///< mapped weights included
  std::optional<std::uint64_t> peak_anonymous_bytes;  ///< without them, looked at after each part
  FileRecords files;  ///< results and parts of a complete run, what else is known of files

  /// What decides whether a resumed run is the same run: digests of model and text, protocol. Not
  /// threads, memory, paths or timings.
  nlohmann::ordered_json settings() const;
  /// What computes in this process, down to the last bit: versions of toplens and libraries,
  /// compiler, processor, instruction sets. No part of the settings.
  nlohmann::ordered_json environment() const;
  nlohmann::ordered_json to_json() const;
};

/// Two settings objects' first difference, in words that fit after "... differ in ": key, the value
/// there and the value here. Empty where they are the same.
std::string first_difference(const nlohmann::ordered_json& there,
                             const nlohmann::ordered_json& here);

/// User and system time of this process so far, all threads.
double process_cpu_seconds();
/// "2027-01-31T12:00:00Z"
std::string utc_now();

}  // namespace toplens
