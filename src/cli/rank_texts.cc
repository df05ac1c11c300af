#include "cli/rank_texts.h"

#include <nlohmann/json.hpp>

#include "cli/library_versions.h"
#include "io/json_text.h"
#include "kernels/cpu_info.h"
#include "parallel/channel.h"
#include "results/build_info.h"

namespace toplens {
namespace {

using Json = nlohmann::ordered_json;

}  // namespace

std::string introduction_text(const RunManifest& manifest) {
  return introduction_text(manifest.threads, manifest.settings());
}

std::string introduction_text(int threads, const Json& settings) {
  const BuildInfo build = build_info();
  const CpuInfo cpu = cpu_info();
  const Json json = {{"host", host_name()},
                     {"cpu", {{"model", cpu.model}, {"features", cpu.features}}},
                     {"threads", threads},
                     {"run",
                      {{"version", build.version},
                       {"git_commit", build.git_commit},
                       {"compiler", build.compiler},
                       {"libraries", library_versions()},
                       {"settings", settings}}}};
  return json.dump();
}

RankRecord introduced_rank(const std::string& introduction) {
  const Json json = parse_json(introduction, "a rank's introduction");
  RankRecord record;
  record.host = json.at("host");
  record.cpu.model = json.at("cpu").at("model");
  record.cpu.features = json.at("cpu").at("features").get<std::vector<std::string>>();
  record.threads = json.at("threads");
  return record;
}

std::string introduction_difference(const std::string& there, const std::string& here) {
  return first_difference(parse_json(there, "a rank's introduction").at("run"),
                          parse_json(here, "a rank's introduction").at("run"));
}

std::string farewell_text(const RankRecord& record) {
  const Json json = {{"documents", record.documents},
                     {"cpu_seconds", record.cpu_seconds},
                     {"peak_resident_bytes", record.peak_resident_bytes}};
  return json.dump();
}

void add_farewell(const std::string& farewell, RankRecord& record) {
  const Json json = parse_json(farewell, "a rank's farewell");
  record.documents = json.at("documents");
  record.cpu_seconds = json.at("cpu_seconds");
  record.peak_resident_bytes = json.at("peak_resident_bytes");
}

}  // namespace toplens
