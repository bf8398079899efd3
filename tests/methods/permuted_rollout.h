// Rollouts whose samples come in another order, each with all that belongs to it: prompt, group, slot and so
// its noise. The linker puts this before rollout() (tests/CMakeLists.txt); no code of the program knows.
#pragma once

#include <functional>
#include <vector>

#include "pipelines/stages/rollout.h"

namespace thalweg {

/// While one lives, this program's rollouts take the rows of each update in the order that it says. A row of
/// a tree is a start noise with all its branches, whose own order says from which state they part: whole
/// trees change places.
class PermutedRollouts {
 public:
  /// `order(n)`: which of n rows comes first, second, ...
  explicit PermutedRollouts(std::function<std::vector<int64_t>(int64_t n)> order);
  ~PermutedRollouts();
  PermutedRollouts(const PermutedRollouts&) = delete;
  PermutedRollouts& operator=(const PermutedRollouts&) = delete;

  RolloutInput permuted(RolloutInput input);
  /// Rows that came at another place, in all rollouts.
  int64_t moved() const { return moved_; }

 private:
  const std::function<std::vector<int64_t>(int64_t)> order_;
  int64_t moved_ = 0;
};

}  // namespace thalweg
