#include "results/run_manifest.h"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "kernels/simd_level.h"
#include "results/build_info.h"

namespace toplens {
namespace {

using Json = nlohmann::ordered_json;

Json or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

template <typename T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json cpu_json(const CpuInfo& cpu) {
  return {{"model", or_null(cpu.model)}, {"features", cpu.features}};
}

Json model_json(const ModelRecord& model) {
  const ModelConfig& config = model.config;
  Json json = {{"path", model.path.string()},
               {"architecture", config.architecture},
               {"num_layers", config.num_layers},
               {"hidden_size", config.hidden_size},
               {"intermediate_size", config.intermediate_size},
               {"num_query_heads", config.num_query_heads},
               {"num_kv_heads", config.num_kv_heads},
               {"head_dim", config.head_dim},
               {"vocab_size", config.vocab_size},
               {"layer_window", config.layer_window}};
  json.update(digests_json(model.digests));
  const auto& weights = model.digests.weight_files;
  json["weights_sha256"] = weights.empty() ? Json(nullptr) : Json(weights);
  return json;
}

Json text_json(const TextRecord& text) {
  Json windows = Json::array();
  for (const WindowRecord& window : text.windows) {
    windows.push_back({{"document", window.document},
                       {"first_token", window.first_token},
                       {"num_tokens", window.num_tokens}});
  }
  return {{"path", text.path.string()},          {"kind", text.kind},
          {"tokens_sha256", text.tokens_sha256}, {"windows_available", text.windows_available},
          {"windows_used", text.windows.size()}, {"context_length", text.context_length},
          {"bos_id", or_null(text.bos_id)},      {"bos_source", or_null(text.bos_source)},
          {"windows", std::move(windows)}};
}

Json protocol_json(const Protocol& protocol) {
  return {{"set_sizes", protocol.set_sizes},
          {"rankings", protocol.rankings},
          {"distances", protocol.distances},
          {"queries", protocol.queries},
          {"random_repeats", protocol.random_repeats},
          {"random_at_all_queries", protocol.random_at_all_queries},
          {"random_inversions", protocol.random_inversions},
          {"metrics", protocol.metrics},
          {"theory", protocol.theory},
          {"measures", protocol.measures},
          {"context_lengths", protocol.context_lengths},
          {"detector_sequences", protocol.detector_sequences},
          {"detector_tokens", protocol.detector_tokens},
          {"regime_thresholds", protocol.regime_thresholds},
          {"seed", protocol.seed},
          {"compute", protocol.compute}};
}

}  // namespace

Json digests_json(const CheckpointDigests& digests) {
  return {{"config_sha256", digests.config},
          {"index_sha256", digests.index},
          {"weights_sample_sha256", digests.weights_sample},
          {"tokenizer_sha256", or_null(digests.tokenizer)}};
}

TextRecord describe_text(std::span<const Document> documents, std::span<const TokenWindow> used,
                         std::size_t windows_available) {
  TextRecord text;
  text.windows_available = windows_available;
  std::vector<std::vector<std::int32_t>> ids;
  for (const TokenWindow& window : used) {
    text.windows.push_back(
        {documents[window.document].name, window.first_token, window.token_ids.size()});
    text.context_length = std::max(text.context_length, static_cast<int>(window.token_ids.size()));
    ids.push_back(window.token_ids);
  }
  text.tokens_sha256 = digest_token_ids(ids);
  return text;
}

std::string window_label(const WindowRecord& window) {
  return fmt::format("{}@{}", window.document, window.first_token);
}

Json RunManifest::settings() const {
  // Readable settings first: a difference is reported by the first key that shows it.
  return {{"architecture", model.config.architecture},
          {"num_layers", model.config.num_layers},
          {"protocol", protocol_json(protocol)},
          {"documents", text.windows.size()},
          {"context_length", text.context_length},
          {"model", digests_json(model.digests)},
          {"text", {{"tokens_sha256", text.tokens_sha256}}}};
}

Json RunManifest::environment() const {
  const BuildInfo build = build_info();
  return {{"version", build.version},    {"git_commit", or_null(build.git_commit)},
          {"compiler", build.compiler},  {"libraries", library_versions},
          {"simd", active_simd_level()}, {"matrix_products", matrix_product_level()},
          {"cpu", cpu_json(cpu_info())}};
}

Json RunManifest::to_json() const {
  Json json;
  json["schema_version"] = kRunSchemaVersion;
  json["status"] = complete ? "complete" : "running";
  json["command_line"] = command_line;
  json["working_directory"] = or_null(working_directory.string());
  json["started"] = started;
  json["toplens"] = environment();
  json["settings"] = settings();
  json["model"] = model_json(model);
  json["text"] = text_json(text);
  json["documents_per_part"] = documents_per_part;
  json["threads"] = threads;
  json["memory_budget_bytes"] = memory_budget_bytes;
  Json stages = Json::object(), stages_cpu = Json::object();
  double total = 0;
  for (const StageTiming& stage : timings) {
    stages[stage.name] = stage.wall_seconds;
    stages_cpu[stage.name] = stage.cpu_seconds;
    total += stage.wall_seconds;
  }
  json["timings"] = {{"wall_seconds", std::move(stages)},
                     {"stage_cpu_seconds", std::move(stages_cpu)},
                     {"total_wall_seconds", total},
                     {"cpu_seconds", cpu_seconds}};
  Json processes = Json::array();
  for (const RankRecord& rank : ranks) {
    processes.push_back({{"host", rank.host},
                         {"cpu", cpu_json(rank.cpu)},
                         {"threads", rank.threads},
                         {"documents", rank.documents},
                         {"cpu_seconds", rank.cpu_seconds},
                         {"peak_resident_bytes", rank.peak_resident_bytes}});
  }
  json["ranks"] = std::move(processes);
  json["gathered"] = {{"bytes", gathered_bytes}, {"seconds", gather_seconds}};
  json["peak_memory_bytes"] = {{"resident", or_null(peak_resident_bytes)},
                               {"anonymous", or_null(peak_anonymous_bytes)}};
  if (complete || !files.empty()) json["files"] = files_json(files);
  return json;
}

std::string first_difference(const Json& there, const Json& here) {
  // Leaf by leaf; a list (set sizes, rankings) is shown whole.
  struct Walk {
    static std::string compare(const Json& there, const Json& here, const std::string& key) {
      if (!there.is_object() || !here.is_object()) {
        if (there == here) return "";
        return fmt::format("{} ({} there, {} here)", key, show(there), show(here));
      }
      for (const auto& [name, value] : here.items()) {
        const Json& other = there.contains(name) ? there.at(name) : absent();
        const std::string found = compare(other, value, join(key, name));
        if (!found.empty()) return found;
      }
      for (const auto& [name, value] : there.items()) {
        if (!here.contains(name)) return compare(value, absent(), join(key, name));
      }
      return "";
    }
    static std::string join(const std::string& key, const std::string& name) {
      return key.empty() ? name : key + "." + name;
    }
    static const Json& absent() {
      static const Json kAbsent(Json::value_t::discarded);
      return kAbsent;
    }
    static std::string show(const Json& value) {
      if (value.is_discarded()) return "absent";
      return value.dump(-1, ' ', false, Json::error_handler_t::replace);
    }
  };
  return Walk::compare(there, here, "");
}

double process_cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::string utc_now() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
}

}  // namespace toplens
