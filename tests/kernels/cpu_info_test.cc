#include "kernels/cpu_info.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/simd_level.h"

namespace toplens {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(CpuInfo, OfX86) {
  const CpuInfo info = parse_cpu_info(
      "processor\t: 0\nmodel name\t: Some(R) CPU @ 2.0GHz\nflags\t\t: fpu fma avx avx2 avx512_bf16 "
      "avx512fancy\n\nprocessor\t: 1\nmodel name\t: Another\nflags\t\t: amx_bf16\n");
  EXPECT_EQ(info.model, "Some(R) CPU @ 2.0GHz");
  EXPECT_THAT(info.features, ElementsAre("avx", "fma", "avx2", "avx512_bf16"));
}

TEST(CpuInfo, OfArmHasNumbersForAName) {
  const CpuInfo info = parse_cpu_info(
      "processor : 0\nFeatures : fp asimd sve bf16\nCPU implementer : 0x41\nCPU part : 0xd40\n");
  EXPECT_EQ(info.model, "ARM implementer 0x41, part 0xd40");
  EXPECT_THAT(info.features, ElementsAre("asimd", "bf16", "sve"));
}

TEST(CpuInfo, OfOtherTextIsEmpty) {
  for (const char* text : {"", "\n\n", "flags", ":", "model name\n:\nflags:"}) {
    const CpuInfo info = parse_cpu_info(text);
    EXPECT_EQ(info.model, "");
    EXPECT_THAT(info.features, IsEmpty());
  }
}

TEST(CpuInfo, OfThisMachineGoesWithItsKernels) {
  const CpuInfo info = cpu_info();
  if (active_simd_level() == "avx2") {
    EXPECT_THAT(info.features, ::testing::Contains("avx2"));
  }
  EXPECT_FALSE(matrix_product_level().empty());
}

}  // namespace
}  // namespace toplens
