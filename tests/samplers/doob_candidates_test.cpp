// What becomes of the candidates of a step: which are weighed, picked and kept.

#include <cmath>

#include "samplers/doob/weights.h"
#include "tests/samplers/doob_laws.h"

namespace thalweg {
namespace {

using namespace doob_laws;

TEST(DoobLaws, CandidatesThatAreNotScoredAreNeverPicked) {
  // Only samples whose first element is below its base value are scored.
  const auto kernel =
      dance_sde(0.9);  // draws noise in the last step, whose candidates are scored as they are
  const auto limit_B = base(kernel).flatten(1).select(1, 0);
  const RewardValue half = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    const auto limit = limit_B.repeat({x.size(0) / 4});
    return at::where(x.flatten(1).select(1, 0) > limit, kNaN, wave(x, step, c));
  };
  auto o = with_form("shared", "pick", 8);
  o.window_begin = 5;
  o.window_size = 1;
  const auto trajectory = sample_doob(sampler_input(schedule(), at::kFloat), kernel, half, o);
  const auto unscored = trajectory.particles->unscored_TG[5];
  const auto picked = trajectory.x0_BCFHW.flatten(1).select(1, 0);
  ASSERT_TRUE(at::logical_and(unscored > 0, unscored < 8).any().item<bool>());
  EXPECT_TRUE(at::logical_or(picked <= limit_B, unscored == 8).all().item<bool>());
}

TEST(DoobLaws, AStepWithoutAnyScoreIsTheSamplersOwnAndCounted) {
  const auto kernel = flow_sde(0.7);
  const RewardValue none = [](const at::Tensor& x, const Step&, const Conditioning&) {
    return at::full({x.size(0)}, kNaN, at::kDouble);
  };
  const RewardValue not_two = [](const at::Tensor& x, const Step& step, const Conditioning& c) {
    auto r = wave(x, step, c);
    for (size_t i = 0; i < step.slot_B.size(); ++i)
      if (step.slot_B[i] == 2) r[static_cast<int64_t>(i)] = kNaN;
    return r;
  };
  for (auto o : every_combination()) {
    o.keep_best = o.lookahead != "noisy_latents";
    EXPECT_TRUE(at::equal(sampled(o, kernel, {0, 1, 2, 3}, none), base())) << o.lookahead << " " << o.form;
    const auto partly = sampled(o, kernel, {0, 1, 2, 3}, not_two), all = sampled(o);
    EXPECT_TRUE(at::equal(partly[2], base()[2])) << o.lookahead << " " << o.form;
    for (const int64_t b : {0, 1, 3})
      EXPECT_TRUE(at::equal(partly[b], all[b])) << o.lookahead << " " << o.form;
  }
  const auto record =
      *sample_doob(sampler_input(schedule(), at::kFloat), kernel, not_two, with_form("shared", "pick"))
           .particles;
  EXPECT_TRUE((record.unscored_TG.select(1, 2) == 4).all().item<bool>());
  EXPECT_TRUE((record.unscored_TG.select(1, 0) == 0).all().item<bool>());
}

TEST(DoobLaws, TheGreedyTailTakesTheBestCandidate) {
  auto o = with_form("shared", "pick", 16);
  o.window_begin = 5;
  o.window_size = 1;
  o.greedy_tail = 1;
  std::vector<at::Tensor> asked;
  const RewardValue watched = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    asked.push_back(wave(x, step, c));
    return asked.back();
  };
  const auto x0 = sampled(o, dance_sde(0.9), {0, 1, 2, 3}, watched);
  const auto best = at::cat(asked).view({16, 4}).amax(0);
  EXPECT_TRUE(at::allclose(wave(x0, {}, {}), best, 0.0, 1e-6));
}

TEST(DoobLaws, TheBestEstimateOfAllIsKeptWhereItBeatsTheSample) {
  auto o = with_form("recompute", "pick", 8);
  const auto drawn = wave(sampled(o), {}, {});
  o.keep_best = true;
  std::vector<at::Tensor> asked;
  const RewardValue watched = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    asked.push_back(wave(x, step, c).view({-1, 4}));
    return asked.back().flatten();
  };
  const auto kept = wave(sampled(o, flow_sde(0.7), {0, 1, 2, 3}, watched), {}, {});
  EXPECT_TRUE(at::allclose(kept, at::cat(asked).amax(0), 0.0, 1e-6));
  EXPECT_TRUE((kept >= drawn).all().item<bool>());
  EXPECT_TRUE((kept > drawn).any().item<bool>());
}

TEST(DoobLaws, MirrorImagesHaveOppositeNoise) {
  std::vector<at::Tensor> candidates;
  const RewardValue watched = [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
    candidates.push_back(x);
    return wave(x, step, c);
  };
  auto o = with_form("noisy_latents", "pick", 4);
  o.window_begin = 2;
  o.window_size = 1;
  sampled(o, flow_sde(0.7), {0, 1, 2, 3}, watched);
  const auto x = at::cat(candidates).unflatten(0, {4, 4});
  EXPECT_TRUE(at::allclose(x[0] + x[2], x[1] + x[3], 0.0, 1e-5));
  EXPECT_FALSE(at::allclose(x[0] + x[1], x[2] + x[3], 0.0, 1e-2));
  candidates.clear();
  o.antithetic = false;
  sampled(o, flow_sde(0.7), {0, 1, 2, 3}, watched);
  const auto free = at::cat(candidates).unflatten(0, {4, 4});
  EXPECT_FALSE(at::allclose(free[0] + free[2], free[1] + free[3], 0.0, 1e-2));
}

TEST(DoobLaws, WeightsAreASoftmaxOverWhatIsScored) {
  const auto r =
      at::tensor({1.0, 3.0, kNaN, 2.0, 5.0, 5.0, 5.0, 5.0, kNaN, kNaN, kNaN, kNaN}, at::kDouble).view({3, 4});
  const auto plain = candidate_weights(r, 0.5, false);
  const double total = std::exp(2.0) + std::exp(6.0) + std::exp(4.0);
  EXPECT_NEAR(plain.weights_BM[0][1].item<double>(), std::exp(6.0) / total, 1e-14);
  EXPECT_EQ(plain.weights_BM[0][2].item<double>(), 0.0);
  // Mean 2, standard deviation sqrt(2/3): the same whatever the scale and the origin of r.
  const auto ranked = candidate_weights(r, 0.5, true), scaled = candidate_weights(r * 100.0 + 7.0, 0.5, true);
  const double z = 2.0 * std::sqrt(1.5);
  EXPECT_NEAR(ranked.weights_BM[0][1].item<double>(), std::exp(z) / (std::exp(z) + 1.0 + std::exp(-z)),
              1e-14);
  EXPECT_TRUE(at::allclose(scaled.weights_BM, ranked.weights_BM, 0.0, 1e-12));
  for (const auto& w : {plain, ranked}) {
    EXPECT_TRUE((w.weights_BM[1] == 0.25).all().item<bool>());
    EXPECT_EQ(w.ess_B[1].item<double>(), 4.0);
    EXPECT_TRUE((w.weights_BM[2] == 0.0).all().item<bool>());
    EXPECT_EQ(w.ess_B[2].item<double>(), 4.0);
    EXPECT_FALSE(w.scored_BM[2].any().item<bool>());
  }
}

}  // namespace
}  // namespace thalweg
