// Candidates of a step: how they are drawn, that a picked one is what was looked at.
#include "samplers/candidates/candidates.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "engine/models/sd3/sd3_schedule.h"
#include "samplers/kernels/dance_sde.h"
#include "samplers/transitions.h"
#include "tests/samplers/analytic.h"

namespace thalweg {
namespace {

constexpr int64_t kSteps = 5, kBatch = 4;

at::Tensor wave(const at::Tensor& x, const Step&, const Conditioning&) {
  return at::sin(x * 1.3).flatten(1).mean(1).to(at::kDouble);
}

class CandidateTest : public ::testing::Test {
 protected:
  Candidates draw(const CandidateRule& rule, int64_t index, CandidateSource::Estimates estimates = {}) {
    const auto step = step_of(kernel_, in_.schedule, index, in_.slot_B);
    const RewardValue reward = wave;
    CandidateSource source(in_, kernel_, reward, rule, std::move(estimates));
    return source.draw(mean_, step,
                       [&](const at::Tensor& x, const Step& there, const Conditioning& c,
                           const std::vector<int64_t>& slots) -> Lookahead {
                         ++calls_;
                         EXPECT_EQ(x.size(0), c.batch());
                         EXPECT_EQ(x.size(0), static_cast<int64_t>(slots.size()));
                         EXPECT_EQ(there.index, index + 1);
                         seen_.push_back(x);
                         slots_.insert(slots_.end(), slots.begin(), slots.end());
                         return {x * 2.0, x * 3.0, wave(x, there, c), {}};
                       });
  }
  static at::Tensor all(int64_t candidate) { return at::full({kBatch}, candidate, at::kLong); }

  const SamplerInput in_ = sampler_input(sd3_schedule(kSteps, 3.0), at::kFloat);
  const Kernel kernel_ = dance_sde(0.9);  // draws noise in the last step, too
  const at::Tensor mean_ = random_latents(3, at::kFloat);
  int64_t calls_ = 0;
  std::vector<at::Tensor> seen_;
  std::vector<int64_t> slots_;
};

TEST_F(CandidateTest, APickedOneIsWhatWasLookedAt) {
  const auto mixed = at::tensor({2, 0, 5, 3}, at::kLong);
  for (const bool mirrored : {false, true})
    for (const int64_t at_once : {0, 1, 2, 6}) {
      seen_.clear();
      slots_.clear();
      const auto candidates = draw({.count = 6, .mirrored = mirrored, .at_once = at_once}, 1);
      const auto x_MB = at::cat(seen_).unflatten(0, {6, kBatch});
      const auto next = picked(candidates, mixed);
      for (int64_t b = 0; b < kBatch; ++b) {
        const auto expected = x_MB[mixed[b].item<int64_t>()][b];
        EXPECT_TRUE(at::equal(next.x_BCFHW[b], expected)) << at_once;
        EXPECT_TRUE(at::equal(next.v_BCFHW[b], expected * 2.0)) << at_once;
        EXPECT_TRUE(at::equal(candidates.reward_BM[b], wave(x_MB.select(1, b), {}, {})));
      }
      // Streams are their own, whatever is looked at together.
      for (int64_t m = 0; m < 6; ++m)
        for (int64_t b = 0; b < kBatch; ++b)
          EXPECT_EQ(slots_[static_cast<size_t>(m * kBatch + b)], in_.slot_B[static_cast<size_t>(b)] * 6 + m);
    }
}

TEST_F(CandidateTest, MirrorImagesMeetAtTheMean) {
  const auto candidates = draw({.count = 4, .mirrored = true}, 1);
  for (const int64_t m : {0, 1}) {
    const auto middle = (picked(candidates, all(m)).x_BCFHW + picked(candidates, all(m + 2)).x_BCFHW) / 2.0;
    EXPECT_TRUE(at::allclose(middle, mean_, 1e-5, 1e-6));
    EXPECT_FALSE(at::allclose(picked(candidates, all(m)).x_BCFHW, mean_, 1e-2, 1e-2));
  }
}

TEST_F(CandidateTest, TheFirstMayBeTheSamplersOwn) {
  const auto step = step_of(kernel_, in_.schedule, 1, in_.slot_B);
  const auto own = at::add(mean_, transition_noise(in_, mean_, step), step.kernel.std);
  const auto leader = [&](int64_t wanted, int64_t at_once) {
    const RewardValue reward = wave;
    CandidateSource source(in_, kernel_, reward, {.count = 3, .at_once = at_once});
    return source.lead(
        mean_, step,
        [](const at::Tensor& x, const Step& there, const Conditioning& c, const auto&) -> Lookahead {
          return {x * 2.0, x, wave(x, there, c), {}};
        },
        [&](const at::Tensor& reward_kB, int64_t first) {
          return (at::arange(first, first + reward_kB.size(0)) == wanted)
              .to(at::kDouble)
              .unsqueeze(1)
              .expand_as(reward_kB);
        });
  };
  for (const int64_t at_once : {0, 1, 2}) {
    EXPECT_TRUE(at::equal(leader(0, at_once).x_BCFHW, own)) << at_once;
    // The others are those of draw(), whatever is looked at together.
    const auto drawn = draw({.count = 3}, 1);
    for (const int64_t m : {1, 2}) {
      EXPECT_TRUE(at::equal(leader(m, at_once).x_BCFHW, picked(drawn, all(m)).x_BCFHW)) << at_once;
      EXPECT_TRUE(at::equal(leader(m, at_once).v_BCFHW, picked(drawn, all(m)).x_BCFHW * 2.0)) << at_once;
      EXPECT_TRUE(at::equal(leader(m, at_once).reward_BM.select(1, m), drawn.reward_BM.select(1, m)));
    }
  }
}

TEST_F(CandidateTest, OfTheLastStepAreScoredAsTheyAre) {
  std::vector<at::Tensor> told;
  const auto keep = [&](const at::Tensor& x0, const at::Tensor&) { told.push_back(x0); };
  const auto candidates = draw({.count = 3}, kSteps - 1, keep);
  EXPECT_EQ(calls_, 0);
  EXPECT_TRUE(candidates.v.empty());
  for (int64_t m = 0; m < 3; ++m) {
    const auto x = picked(candidates, all(m)).x_BCFHW;
    EXPECT_TRUE(at::equal(candidates.reward_BM.select(1, m), wave(x, {}, {})));
    EXPECT_TRUE(at::equal(told.at(0).unflatten(0, {3, kBatch})[m], x));
  }
  // Before it, what the look says is clean.
  told.clear();
  draw({.count = 3}, 1, keep);
  EXPECT_TRUE(at::equal(told.at(0), seen_.at(0) * 3.0));
}

TEST(BestCandidate, IsTheHighestThatIsScored) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto reward_BM =
      at::tensor({1.0, 3.0, 2.0, nan, 0.0, -1.0, nan, nan, nan, 2.0, 2.0, nan}).view({4, 3});
  EXPECT_TRUE(at::equal(best_candidate(reward_BM), at::tensor({1, 1, 0, 0}, at::kLong)));
}

}  // namespace
}  // namespace thalweg
