#include "geometry/separability.h"

#include <algorithm>

#include <fmt/core.h>

#include <toplens/error.h>

namespace toplens {

namespace {

template <typename T>
const T* first_repeated(const std::vector<T>& list) {
  for (auto it = list.begin(); it != list.end(); ++it) {
    if (std::find(list.begin(), it, *it) != it) return &*it;
  }
  return nullptr;
}

}  // namespace

void check(const GeometryOptions& options) {
  if (options.set_sizes.empty()) throw Error("set sizes: none given, expected at least one");
  if (options.rankings.empty()) throw Error("rankings: none given, expected at least one");
  if (options.distances.empty()) throw Error("distances: none given, expected at least one");
  for (const int size : options.set_sizes) {
    if (size < 1) throw Error(fmt::format("set sizes: found {}, expected 1 or more", size));
  }
  if (const int* size = first_repeated(options.set_sizes)) {
    throw Error(fmt::format("set sizes: {} is given twice", *size));
  }
  if (const Ranking* ranking = first_repeated(options.rankings)) {
    throw Error(fmt::format("rankings: '{}' is given twice", name(*ranking)));
  }
  if (const Distance* distance = first_repeated(options.distances)) {
    throw Error(fmt::format("distances: '{}' is given twice", name(*distance)));
  }
  if (options.random_repeats < 1) {
    throw Error(
        fmt::format("random repeats: found {}, expected 1 or more", options.random_repeats));
  }
}

}  // namespace toplens
