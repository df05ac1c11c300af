#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/random.h"
#include "kernels/gated_activation.h"
#include "kernels/rms_norm.h"
#include "kernels/rope.h"
#include "support/simd_targets.h"

namespace toplens {
namespace {

using testing::for_each_target;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> reals(std::size_t count, double scale, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> numbers(count);
  for (float& x : numbers) x = static_cast<float>(scale * (2 * random.uniform() - 1));
  return numbers;
}

/// Every tail of every vector width, and a model's size.
std::vector<std::size_t> sizes() {
  std::vector<std::size_t> sizes;
  for (std::size_t n = 1; n <= 70; ++n) sizes.push_back(n);
  sizes.push_back(4096);
  return sizes;
}

TEST(RmsNorm, EqualsTheDefinitionAlsoInPlace) {
  for_each_target([] {
    for (const std::size_t n : sizes()) {
      const std::vector<float> x = reals(n, 30, n), scale = reals(n, 2, n + 1);
      double squares = 0;
      for (const float value : x) squares += double{value} * value;
      const double root = std::sqrt(squares / static_cast<double>(n) + 1e-5);
      std::vector<float> out(n + 1, 77.0f), in_place = x;
      rms_norm(x, scale, 1e-5, std::span(out).first(n));
      rms_norm(in_place, scale, 1e-5, in_place);
      for (std::size_t i = 0; i < n; ++i) {
        ASSERT_NEAR(out[i], x[i] / root * scale[i], 1e-6 * std::fabs(x[i] / root * scale[i]));
        ASSERT_EQ(out[i], in_place[i]);
      }
      ASSERT_EQ(out[n], 77.0f);
    }
  });
}

TEST(RmsNorm, LargeAndSmallRowsKeepTheirScaleAndNanIsNotHidden) {
  for_each_target([] {
    for (const float size : {1e30f, 1e18f, 1e-10f}) {
      const std::vector<float> x(37, size), ones(37, 1.0f);
      std::vector<float> out(37);
      rms_norm(x, ones, 1e-30, out);
      for (const float value : out) ASSERT_NEAR(value, 1.0f, 1e-6f) << size;
    }
    for (std::size_t place = 0; place < 37; ++place) {
      std::vector<float> x(37, 1.0f), ones(37, 1.0f), out(37);
      x[place] = std::nanf("");
      rms_norm(x, ones, 1e-5, out);
      for (const float value : out) ASSERT_TRUE(std::isnan(value));
    }
  });
}

double silu(double x) { return x / (1 + std::exp(-x)); }
double gelu(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
}

template <typename Kernel, typename Reference>
void expect_gate(Kernel kernel, Reference reference) {
  for_each_target([&] {
    for (const std::size_t n : sizes()) {
      std::vector<float> gate = reals(n, n % 2 == 0 ? 4 : 40, n);
      const std::vector<float> up = reals(n, 3, n + 1);
      std::vector<float> out(n + 1, 77.0f), in_place = gate;
      kernel(gate, up, std::span(out).first(n));
      kernel(in_place, up, in_place);
      for (std::size_t i = 0; i < n; ++i) {
        const double expected = reference(gate[i]) * up[i];
        // 1 + tanh cancels below zero: absolute there.
        ASSERT_NEAR(out[i], expected, 2e-6 * std::fabs(expected) + 2e-6) << gate[i];
        ASSERT_EQ(out[i], in_place[i]);
      }
      ASSERT_EQ(out[n], 77.0f);
    }
  });
}

TEST(GatedActivation, SiluEqualsFloat64) { expect_gate(silu_gate, silu); }
TEST(GatedActivation, GeluTanhEqualsFloat64) { expect_gate(gelu_tanh_gate, gelu); }

TEST(GatedActivation, ExtremesSaturateWithoutOverflow) {
  const std::vector<float> gate = {0.0f, -0.0f, 89.0f, -89.0f, 1e4f, -1e4f, 1e30f, -1e30f, 1e-30f};
  const std::vector<float> ones(gate.size(), 1.0f);
  for_each_target([&] {
    for (const auto& [kernel, reference] :
         {std::pair(&silu_gate, &silu), std::pair(&gelu_tanh_gate, &gelu)}) {
      std::vector<float> out(gate.size());
      kernel(gate, ones, out);
      for (std::size_t i = 0; i < gate.size(); ++i) {
        const double expected = gate[i] < -80 ? 0.0 : reference(gate[i]);
        // silu's exponential is held at exp(88): 1e30 times 1e-38 remains.
        ASSERT_NEAR(out[i], expected, 1e-6 * std::fabs(expected) + 2e-8) << gate[i];
      }
    }
  });
}

TEST(GatedActivation, NanAndInfinityNeverBecomeFinite) {
  for_each_target([] {
    for (const auto kernel : {&silu_gate, &gelu_tanh_gate}) {
      for (const std::size_t n : {1u, 5u, 16u, 21u}) {
        for (std::size_t place = 0; place < n; ++place) {
          for (const float bad : {std::nanf(""), kInfinity, -kInfinity}) {
            std::vector<float> gate(n, 0.5f), up(n, 2.0f), out(n);
            gate[place] = bad;
            kernel(gate, up, out);
            ASSERT_FALSE(std::isfinite(out[place])) << "gate " << bad;
            for (const float other : {0.5f, -0.5f, 0.0f, -500.0f, 1e30f}) {
              gate[place] = other;
              up[place] = bad;
              kernel(gate, up, out);
              ASSERT_FALSE(std::isfinite(out[place])) << "gate " << other << " up " << bad;
            }
          }
        }
      }
    }
  });
}

TEST(Rope, RotatesEveryPair) {
  for_each_target([] {
    for (std::size_t half = 1; half <= 40; ++half) {
      const std::vector<float> x = reals(2 * half, 5, half);
      std::vector<float> cosine(half), sine(half), out(2 * half + 1, 77.0f);
      for (std::size_t i = 0; i < half; ++i) {
        cosine[i] = static_cast<float>(std::cos(0.3 * static_cast<double>(i) + 1));
        sine[i] = static_cast<float>(std::sin(0.3 * static_cast<double>(i) + 1));
      }
      rotate_half(x, cosine, sine, std::span(out).first(2 * half));
      for (std::size_t i = 0; i < half; ++i) {
        const double a = x[i], b = x[half + i], c = cosine[i], s = sine[i];
        ASSERT_NEAR(out[i], a * c - b * s, 1e-6);
        ASSERT_NEAR(out[half + i], b * c + a * s, 1e-6);
      }
      ASSERT_EQ(out[2 * half], 77.0f);
    }
  });
}

}  // namespace
}  // namespace toplens
