#include "plugins/validator/leftovers.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <string>
#include <vector>

#include "plugins/validator/compare.h"
#include "plugins/validator/process_state.h"

namespace thalweg::validator {
namespace {

/// Of one of the process's resources, by at least so much a life.
struct Growth {
  int64_t Resources::*what;
  int64_t least, unit;
  const char* words;

  /// How many of the lives left so much. `after`: the resources after each, before the first of them first.
  size_t lives(const std::vector<Resources>& after) const {
    size_t count = 0;
    for (size_t i = 1; i < after.size(); ++i) count += after[i].*what - after[i - 1].*what >= least;
    return count;
  }
  int64_t each(const std::vector<Resources>& after) const {
    return (after.back().*what - after.front().*what) / static_cast<int64_t>(after.size() - 1) / unit;
  }
  bool most(const std::vector<Resources>& after) const { return 2 * lives(after) > after.size() - 1; }
};

}  // namespace

void nothing_left(Subject& s) {
  constexpr int64_t kHeap = 64 << 10;
  constexpr int kFewScores = 32, kMostScores = 64;
  constexpr size_t kFewestLives = 3, kMostLives = 9;
  const auto cycle = [&] {
    Instance instance(s);
    instance.activate();
    // What a call leaves is little: quick ones are made many times, however busy the machine is.
    const auto begin = std::chrono::steady_clock::now();
    const auto within = [&](int milliseconds) {
      return std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(milliseconds);
    };
    for (int i = 0; i < kMostScores && (i == 0 || within(20) || (i < kFewScores && within(200))); ++i)
      first_scores(s, instance);
    instance.deactivate();
  };
  // The first two may fill caches.
  cycle();
  cycle();
  std::vector<Resources> after = {Resources::now()};
  const auto live = [&] {
    cycle();
    after.push_back(Resources::now());
  };
  while (after.size() <= kFewestLives) live();
  // The process itself maps and unmaps: where some lives left something and some did not, more decide.
  const Growth growths[] = {{&Resources::descriptors, 1, 1, " files open"},
                            {&Resources::threads, 1, 1, " threads running"},
                            {&Resources::heap_bytes, kHeap, 1024, " KiB of memory taken"},
                            {&Resources::mapped_bytes, kHeap, 1024, " KiB of memory mapped"}};
  const bool doubtful = std::any_of(std::begin(growths), std::end(growths), [&](const Growth& growth) {
    const auto lives = growth.lives(after);
    return lives > 0 && lives < kFewestLives;
  });
  while (doubtful && after.size() <= kMostLives) live();
  for (const auto& growth : growths)
    require(!growth.most(after), "each life leaves " + std::to_string(growth.each(after)) + growth.words);
}

}  // namespace thalweg::validator
