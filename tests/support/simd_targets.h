#pragma once

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <cstdint>
#include <set>

namespace toplens::testing {

/// Runs `body` once on every compiled-in instruction set that this machine has. The dispatch table
/// is indexed by the chosen target's bit: as many different indices as targets show that each of
/// them was active.
template <typename Body>
void for_each_target(const Body& body) {
  std::set<std::size_t> indices;
  std::size_t targets = 0;
  for (const auto target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    indices.insert(hwy::GetChosenTarget().GetIndex());
    ++targets;
    SCOPED_TRACE(hwy::TargetName(target));
    body();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  EXPECT_GT(targets, 0u);
  EXPECT_EQ(indices.size(), targets);
}

}  // namespace toplens::testing
