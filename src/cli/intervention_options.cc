#include "cli/intervention_options.h"

#include <cmath>

namespace toplens {
namespace {

template <typename Value>
void check_once(std::span<const Value> values, const char* option) {
  for (auto value = values.begin(); value != values.end(); ++value) {
    if (std::find(values.begin(), value, *value) != value) {
      throw UsageError(fmt::format("{}: {} is given twice", option, *value));
    }
  }
}

}  // namespace

void check_set_sizes(std::span<const int> set_sizes) {
  for (const int size : set_sizes) {
    if (size < 1) {
      throw UsageError(fmt::format("--set-sizes: {} tokens: at least one must be kept", size));
    }
  }
  check_once(set_sizes, "--set-sizes");
}

void check_tolerances(std::span<const double> tolerances) {
  for (const double tolerance : tolerances) {
    if (!(tolerance > 0) || !std::isfinite(tolerance)) {
      throw UsageError(
          fmt::format("--tolerance: {} must be a finite number above 0, as in 0.05", tolerance));
    }
  }
  check_once(tolerances, "--tolerance");
}

void add_seed_option(CLI::App& command, std::uint64_t& seed) {
  command.add_option("--seed", seed, "Seed of the random rankings and of the bootstrap")
      ->check([](const std::string& text) {
        // Would be taken modulo 2^64.
        return text.rfind('-', 0) == 0 ? "'" + text + "' is below 0" : std::string();
      })
      ->capture_default_str();
}

void LossRunArguments::add_run_options_to(CLI::App& command, const std::string& out_help,
                                          const std::string& json_help) {
  add_seed_option(command, seed);
  command
      .add_option(
          "--lanes", lanes,
          "Lanes (a document under a treatment) that go through the layers together, at most "
          "and as memory allows; results do not depend on it")
      ->check(CLI::Range(1, 1 << 20))
      ->type_name("K")
      ->capture_default_str();
  command.add_option("--out", out, out_help)->type_name("DIR");
  command.add_flag("--resume", resume,
                   "Go on with the interrupted run in --out; what it evaluated is kept");
  command.add_flag("--json", json, json_help);
  command.add_flag(
      "--mpi", mpi,
      "Share the lanes among MPI's ranks. Needed only with launchers other than mpirun "
      "and srun, which are recognised (docs/cluster.md)");
}

}  // namespace toplens
