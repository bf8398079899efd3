#include "pipelines/stages/prompt_set.h"

#include <algorithm>
#include <numeric>

#include "engine/core/rng.h"

namespace thalweg {

PromptSet encode_prompts(const FlowModel& model, PromptList list) {
  constexpr int64_t kChunk = 256;
  PromptSet set{std::move(list), {}};
  for (int64_t begin = 0; begin < set.size(); begin += kChunk) {
    const auto end = std::min(begin + kChunk, set.size());
    const auto part = model.encode({set.list.prompts.begin() + begin, set.list.prompts.begin() + end});
    set.conditioning = begin == 0 ? part : concatenate(set.conditioning, part);
  }
  return set;
}

std::vector<int64_t> draw_prompts(int64_t size, int64_t count, int64_t iteration, uint64_t seed) {
  std::vector<int64_t> drawn, order(static_cast<size_t>(size));
  int64_t shuffled_pass = -1;
  for (int64_t k = 0; k < count; ++k) {
    const int64_t position = iteration * count + k, pass = position / size;
    if (pass != shuffled_pass) {
      std::vector<uint64_t> key;
      for (int64_t i = 0; i < size; ++i)
        key.push_back(
            random_bits(seed, Purpose::prompts, static_cast<uint64_t>(i), static_cast<uint64_t>(pass)));
      std::iota(order.begin(), order.end(), int64_t{0});
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        return key[static_cast<size_t>(a)] < key[static_cast<size_t>(b)];
      });
      shuffled_pass = pass;
    }
    drawn.push_back(order[static_cast<size_t>(position % size)]);
  }
  return drawn;
}

}  // namespace thalweg
