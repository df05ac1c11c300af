#include <toplens/error.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "model/engine_plan.h"
#include "model/model_config.h"
#include "model/rope_table.h"
#include "model/weight_names.h"

// Whatever parses must be a configuration that a forward pass can rely on.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const toplens::ModelConfig config = toplens::parse_model_config(text, "config.json");
    if (config.num_query_heads % config.num_kv_heads != 0 || config.head_dim % 2 != 0) std::abort();
    if (config.kv_head(config.num_query_heads - 1) != config.num_kv_heads - 1) std::abort();
    if (config.layer_window.size() != static_cast<std::size_t>(config.num_layers)) std::abort();
    if (!std::isfinite(config.query_scale) || !(config.query_scale > 0.0)) std::abort();
    if (config.bos_token_id && *config.bos_token_id >= config.vocab_size) std::abort();
    if (config.num_layers < 100) (void)toplens::expected_tensors(config);
    for (const double frequency : toplens::rope_inverse_frequencies(config.rope, config.head_dim)) {
      if (!std::isfinite(frequency)) std::abort();
    }
    toplens::EngineDemand demand;
    demand.longest_lane = 512;
    demand.total_rows = 4096;
    demand.kept_queries = 8;
    demand.lanes_wanted = 8;
    demand.threads = 2;
    constexpr std::uint64_t kMemory = std::uint64_t{4} << 30;
    const toplens::EnginePlan plan =
        toplens::make_engine_plan(config, toplens::ComputeType::f32, demand, kMemory);
    if (plan.lanes_per_batch < 1 || plan.bytes > kMemory) std::abort();
  } catch (const toplens::Error&) {
  }
  return 0;
}
