#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "results/run_manifest.h"

namespace toplens {

/// What the ranks of a run tell rank 0, as JSON.

/// Host, threads, versions and settings of this process.
std::string introduction_text(const RunManifest& manifest);
std::string introduction_text(int threads, const nlohmann::ordered_json& settings);
/// Host and threads of an introduction. Throws Error where it is none.
RankRecord introduced_rank(const std::string& introduction);
/// The first difference in versions or settings, in words; empty where both would run the same.
std::string introduction_difference(const std::string& there, const std::string& here);

/// What this process did.
std::string farewell_text(const RankRecord& record);
/// Adds it to the record of the process that said it. Throws Error where it is no farewell.
void add_farewell(const std::string& farewell, RankRecord& record);

}  // namespace toplens
