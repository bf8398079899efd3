#include "engine/core/shuffled.h"

#include <algorithm>
#include <numeric>

namespace thalweg {

std::vector<int64_t> shuffled(uint64_t seed, Purpose purpose, int64_t slot, int64_t first, int64_t n) {
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), int64_t{0});
  std::vector<uint64_t> key;
  for (int64_t i = 0; i < n; ++i)
    key.push_back(random_bits(seed, purpose, static_cast<uint64_t>(slot), static_cast<uint64_t>(first + i)));
  std::sort(order.begin(), order.end(),
            [&](int64_t i, int64_t j) { return key[static_cast<size_t>(i)] < key[static_cast<size_t>(j)]; });
  return order;
}

}  // namespace thalweg
