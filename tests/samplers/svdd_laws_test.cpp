// What holds for SVDD whatever the reward.
#include <gtest/gtest.h>

#include "samplers/particles/svdd.h"
#include "tests/samplers/particle_laws.h"

namespace thalweg {
namespace {

using namespace particle_laws;

TEST(SvddLaws, TheChoiceDoesNotDependOnHowManyAreEvaluatedAtOnce) {
  const auto in = groups_of(1, {0, 3, 8, 11});
  for (const double temperature : {0.0, 0.05}) {
    SvddOptions o{7, temperature};
    o.at_once = 7;
    const auto whole = sample_svdd(in, flow_sde(0.7), wavy, o);
    for (const int64_t at_once : {0, 1, 3}) {
      o.at_once = at_once;
      const auto parts = sample_svdd(in, flow_sde(0.7), wavy, o);
      EXPECT_TRUE(at::allclose(parts.x0_BCFHW, whole.x0_BCFHW, 1e-10, 1e-10));
      EXPECT_TRUE(at::allclose(parts.particles->ess_TG, whole.particles->ess_TG, 1e-8, 1e-8));
    }
    // Each sample alone, too.
    const auto alone = sample_svdd(groups_of(1, {8}), flow_sde(0.7), wavy, o);
    EXPECT_TRUE(at::allclose(alone.x0_BCFHW[0], whole.x0_BCFHW[2], 1e-10, 1e-10));
    EXPECT_FALSE(at::allclose(whole.x0_BCFHW, base_run(in, flow_sde(0.7)), 1e-2, 1e-2));
    EXPECT_EQ(whole.particles->ess_TG.sizes(), at::IntArrayRef({kSteps, 4}));
  }
}

TEST(SvddLaws, CandidatesThatAreNotScoredAreNotChosen) {
  const auto in = groups_of(1, {0, 1});
  SvddOptions o{5, 0.1};
  // None of sample 0 is scored: its own candidate goes on.
  const auto t = sample_svdd(in, flow_sde(0.7), partly_lost({0}), o);
  EXPECT_TRUE(at::allclose(t.x0_BCFHW[0], base_run(in, flow_sde(0.7))[0], 1e-12, 1e-12));
  EXPECT_TRUE((t.particles->unscored_TG.select(1, 0) == 5).all().item<bool>());
  EXPECT_TRUE((t.particles->unscored_TG.select(1, 1) == 0).all().item<bool>());
  // The sampler's own candidate is never scored: it never goes on.
  o.at_once = 5;
  const RewardValue without_first = [](const at::Tensor& x, const Step& step, const Conditioning& c) {
    auto values = wavy(x, step, c);
    values.slice(0, 0, 2).fill_(kNan);
    return values;
  };
  const auto others = sample_svdd(in, flow_sde(0.7), without_first, o);
  EXPECT_TRUE((others.particles->unscored_TG == 1).all().item<bool>());
  for (const int64_t b : {0, 1})
    EXPECT_FALSE(at::allclose(others.x0_BCFHW[b], base_run(in, flow_sde(0.7))[b], 1e-3, 1e-3));
}

}  // namespace
}  // namespace thalweg
