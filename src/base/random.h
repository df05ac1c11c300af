#pragma once

#include <cstdint>
#include <initializer_list>

namespace toplens {

/// SplitMix64 (Steele, Lea, Flood 2014). The standard library's distributions differ between
/// implementations; results must not.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  /// A stream that depends on all the keys and on their order: one for each (document, layer, head,
  /// ...).
  Random(std::uint64_t seed, std::initializer_list<std::uint64_t> keys) : state_(seed) {
    for (const std::uint64_t key : keys)
      state_ = mix(state_ + 0x9e3779b97f4a7c15u) ^ mix(key + 0x632be59bd9b4e019u);
  }

  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15u;
    return mix(state_);
  }
  /// Uniform in [0, bound), without bias (Lemire 2019).
  std::uint64_t below(std::uint64_t bound) {
    unsigned __int128 product = static_cast<unsigned __int128>(next()) * bound;
    if (static_cast<std::uint64_t>(product) < bound) {
      const std::uint64_t threshold = -bound % bound;
      while (static_cast<std::uint64_t>(product) < threshold) {
        product = static_cast<unsigned __int128>(next()) * bound;
      }
    }
    return static_cast<std::uint64_t>(product >> 64);
  }
  /// Uniform in [0, 1) with 53 bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1.0p-53; }

 private:
  static std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  std::uint64_t state_;
};

}  // namespace toplens
