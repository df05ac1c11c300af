#include "parallel/launch.h"

#include <array>
#include <charconv>
#include <optional>
#include <string_view>

namespace toplens {
namespace {

struct LauncherVariables {
  const char* rank;
  const char* size;
  const char* launcher;
};

// Slurm sets SLURM_PROCID and SLURM_NTASKS for the batch script itself too, but the number of a
// step's tasks only for what srun starts.
constexpr std::array<LauncherVariables, 4> kLaunchers = {{
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "mpirun"},  // Open MPI
    {"PMI_RANK", "PMI_SIZE", "mpirun"},                          // MPICH, Intel MPI, srun with PMI
    {"MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "mpirun"},    // MVAPICH
    {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "srun"},
}};

std::optional<int> number(const char* text) {
  if (text == nullptr) return std::nullopt;
  const std::string_view view(text);
  int value = 0;
  const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), value);
  if (error != std::errc() || end != view.data() + view.size()) return std::nullopt;
  return value;
}

}  // namespace

Launch find_launch(const std::function<const char*(const char*)>& environment) {
  for (const LauncherVariables& variables : kLaunchers) {
    const std::optional<int> rank = number(environment(variables.rank));
    const std::optional<int> size = number(environment(variables.size));
    if (!rank || !size || *rank < 0 || *rank >= *size) continue;
    const bool by_slurm = environment("SLURM_STEP_NUM_TASKS") != nullptr &&
                          environment("OMPI_COMM_WORLD_SIZE") == nullptr;
    return {*rank, *size, by_slurm ? "srun" : variables.launcher};
  }
  return {};
}

}  // namespace toplens
