#include "tests/methods/permuted_rollout.h"

#include <utility>

namespace thalweg {
namespace {

PermutedRollouts* now = nullptr;

}  // namespace

// The names that the linker gives to the program's own and to what is called in its place (--wrap).
std::vector<MicroBatch> own_rollout(const RolloutInput&) asm("__real_" THALWEG_ROLLOUT);
std::vector<MicroBatch> rollout_instead(const RolloutInput&) asm("__wrap_" THALWEG_ROLLOUT);

std::vector<MicroBatch> rollout_instead(const RolloutInput& input) {
  return now ? own_rollout(now->permuted(input)) : own_rollout(input);
}

PermutedRollouts::PermutedRollouts(std::function<std::vector<int64_t>(int64_t)> order)
    : order_(std::move(order)) {
  now = this;
}

PermutedRollouts::~PermutedRollouts() {
  now = nullptr;
}

RolloutInput PermutedRollouts::permuted(RolloutInput input) {
  const auto rows = input.rows;
  auto ends = input.cuts;
  ends.push_back(static_cast<int64_t>(rows.size()));
  int64_t begin = 0;
  for (const int64_t end : ends) {
    const auto order = order_(end - begin);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t from = begin + order.at(static_cast<size_t>(i - begin));
      input.rows[static_cast<size_t>(i)] = rows[static_cast<size_t>(from)];
      moved_ += from != i;
    }
    begin = end;
  }
  return input;
}

}  // namespace thalweg
