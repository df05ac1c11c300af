#include "parallel/launch.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace toplens {
namespace {

Launch launch_of(const std::map<std::string, std::string>& variables) {
  return find_launch([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

void expect_launch(const std::map<std::string, std::string>& variables, int rank, int size,
                   const std::string& launcher) {
  const Launch launch = launch_of(variables);
  EXPECT_EQ(launch.rank, rank);
  EXPECT_EQ(launch.size, size);
  EXPECT_EQ(launch.launcher, launcher);
}

TEST(Launch, APlainProcessIsAlone) {
  expect_launch({}, 0, 1, "");
  expect_launch({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}}, 0, 1, "");  // the batch script
}

TEST(Launch, MpirunAndSrunAreRecognised) {
  expect_launch({{"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "4"}}, 3, 4, "mpirun");
  expect_launch({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}}, 1, 2, "mpirun");
  expect_launch({{"SLURM_PROCID", "5"}, {"SLURM_STEP_NUM_TASKS", "6"}}, 5, 6, "srun");
  expect_launch(
      {{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"SLURM_PROCID", "1"}, {"SLURM_STEP_NUM_TASKS", "2"}},
      1, 2, "srun");
}

TEST(Launch, VariablesThatAreNoNumbersOrImpossibleAreIgnored) {
  expect_launch({{"PMI_RANK", "x"}, {"PMI_SIZE", "2"}}, 0, 1, "");
  expect_launch({{"PMI_RANK", "2"}, {"PMI_SIZE", "2"}}, 0, 1, "");
  expect_launch({{"PMI_RANK", "1"}}, 0, 1, "");
}

}  // namespace
}  // namespace toplens
