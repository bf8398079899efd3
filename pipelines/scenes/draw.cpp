#include "pipelines/scenes/draw.h"

#include <algorithm>
#include <set>
#include <sstream>
#include <utility>

#include "engine/core/error.h"
#include "pipelines/scenes/random.h"

namespace thalweg::scenes {

namespace {

template <typename T>
void shuffle(std::vector<T>& values, Random& random) {
  for (std::size_t i = values.size(); i > 1; --i) {
    std::swap(values[i - 1], values[static_cast<std::size_t>(random.below(static_cast<int>(i)))]);
  }
}

// Of each pool, by largest remainders, so that the numbers add up to n.
std::vector<int> apportion(int n, const std::vector<CaptionPool>& pools) {
  std::vector<int> numbers;
  std::vector<std::pair<int, std::size_t>> remainders;
  int left = n;
  for (const CaptionPool& pool : pools) {
    const long long exact = static_cast<long long>(n) * pool.percent;
    remainders.emplace_back(-static_cast<int>(exact % 100), numbers.size());
    numbers.push_back(static_cast<int>(exact / 100));
    left -= numbers.back();
  }
  std::sort(remainders.begin(), remainders.end());
  for (int i = 0; i < left; ++i) ++numbers[remainders[static_cast<std::size_t>(i)].second];
  return numbers;
}

}  // namespace

// FNV-1a alone leaves patterns in its low bits, so they are mixed.
std::uint64_t hash_text(const std::string& text, std::uint64_t salt) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char letter : text) hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3ULL;
  return mix_bits(hash + salt);
}

std::vector<std::string> draw_from(std::vector<CaptionPool> pools, int n, std::uint64_t seed) {
  if (n < 0) {
    throw Error("pipelines/scenes", "the number of captions is negative; ask for 0 or more");
  }
  const std::vector<int> numbers = apportion(n, pools);
  Random random(seed, 0);
  std::vector<std::string> drawn;
  for (std::size_t p = 0; p < pools.size(); ++p) {
    auto& texts = pools[p].texts;
    for (int i = 0; i < numbers[p]; ++i) {
      const auto at = static_cast<std::size_t>(i) % texts.size();
      if (at == 0) shuffle(texts, random);
      drawn.push_back(texts[at]);
    }
  }
  shuffle(drawn, random);
  return drawn;
}

std::vector<std::string> words_of(const std::vector<std::string>& texts) {
  std::set<std::string> words;
  for (const std::string& text : texts) {
    std::istringstream stream(text);
    for (std::string word; stream >> word;) words.insert(word);
  }
  return {words.begin(), words.end()};
}

}  // namespace thalweg::scenes
