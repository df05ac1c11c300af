#include "checkpoint/random_weights.h"

#include <algorithm>
#include <boost/math/distributions/normal.hpp>
#include <cassert>
#include <cmath>
#include <cstring>

#include "base/random.h"
#include "kernels/convert.h"

namespace toplens {
namespace {

constexpr std::size_t kQuantiles = 65536;
constexpr std::size_t kPerWord = 4;  // quantile numbers in one random word

std::vector<float> normal_quantiles(double mean, double standard_deviation) {
  const boost::math::normal_distribution<double> standard;
  std::vector<float> quantiles(kQuantiles);
  for (std::size_t i = 0; i < kQuantiles; ++i) {
    const double probability = (static_cast<double>(i) + 0.5) / static_cast<double>(kQuantiles);
    quantiles[i] = static_cast<float>(mean + standard_deviation *
                                                 boost::math::quantile(standard, probability));
  }
  return quantiles;
}

/// IEEE binary16 of a value below 65504 in magnitude, rounded to nearest even.
std::uint16_t half_of_float(float value) {
  constexpr int kLeastExponent = -14;
  constexpr int kFractionBits = 10;
  const float magnitude = std::abs(value);
  const int exponent =
      magnitude > 0 ? std::max(std::ilogb(magnitude), kLeastExponent) : kLeastExponent;
  const auto units =
      static_cast<int>(std::nearbyint(std::ldexp(magnitude, kFractionBits - exponent)));
  // The implicit bit adds 1 to the exponent field; below the least exponent there is none.
  const int bits = ((exponent - kLeastExponent) << kFractionBits) + units;
  return static_cast<std::uint16_t>(bits | (std::signbit(value) ? 0x8000 : 0));
}

template <typename T>
void fill_block(const std::vector<T>& quantiles, Random random, std::span<std::byte> to) {
  std::size_t element = 0;
  const std::size_t count = to.size() / sizeof(T);
  while (element < count) {
    const std::uint64_t word = random.next();
    const T chosen[kPerWord] = {quantiles[word & 0xffff], quantiles[word >> 16 & 0xffff],
                                quantiles[word >> 32 & 0xffff], quantiles[word >> 48]};
    const std::size_t used = std::min(kPerWord, count - element);
    std::memcpy(to.data() + element * sizeof(T), chosen, used * sizeof(T));
    element += used;
  }
}

}  // namespace

RandomWeights::RandomWeights(DataType type, double mean, double standard_deviation)
    : type_(type), quantiles_(normal_quantiles(mean, standard_deviation)) {
  if (type == DataType::f32) return;
  half_quantiles_.resize(kQuantiles);
  if (type == DataType::bf16) {
    convert_to_bf16(quantiles_, half_quantiles_);
  } else {
    std::transform(quantiles_.begin(), quantiles_.end(), half_quantiles_.begin(), half_of_float);
  }
  quantiles_.clear();
}

void RandomWeights::fill(std::uint64_t key, std::uint64_t first_element,
                         std::span<std::byte> to) const {
  assert(first_element % kBlock == 0);
  const std::size_t block_bytes = kBlock * bytes_per_element(type_);
  for (std::uint64_t block = first_element / kBlock; !to.empty(); ++block) {
    const std::span<std::byte> part = to.first(std::min(block_bytes, to.size()));
    const Random random(key, {block});
    if (type_ == DataType::f32) {
      fill_block(quantiles_, random, part);
    } else {
      fill_block(half_quantiles_, random, part);
    }
    to = to.subspan(part.size());
  }
}

}  // namespace toplens
