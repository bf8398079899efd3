// What the direct methods mask, and what they refuse.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/core/error.h"
#include "tests/io/scratch.h"
#include "tests/methods/methods.h"

namespace thalweg {
namespace {

// A reward that gives values, and for some samples no gradient.
class HalfBlind final : public Reward {
 public:
  explicit HalfBlind(int64_t lost) : lost_(lost) {
    info_.name = "half_blind";
    info_.dimensions_K = {"bright"};
    info_.required.frames = true;
    info_.gradient_of = GradientOf::frames;
  }
  const RewardInfo& info() const override { return info_; }
  Scored score(const ScoreInput& input) override {
    return {input.frames_BF3HW.flatten(1).mean(1, /*keepdim=*/true).to(at::kFloat), {}};
  }
  ScoreGradient gradient(const ScoreInput& input, const at::Tensor& cotangent_BK) override {
    const auto& frames = input.frames_BF3HW;
    const auto share = (cotangent_BK / static_cast<double>(frames[0].numel())).view({-1, 1, 1, 1, 1});
    ScoreGradient result{share.expand_as(frames).to(at::kFloat).contiguous(), {}, {}};
    for (size_t i = 0; i < input.sample_ids.size(); ++i) {
      if (static_cast<int64_t>(input.sample_ids[i] & ((uint64_t{1} << 36) - 1)) % 12 >= lost_) continue;
      result.frames_BF3HW[static_cast<int64_t>(i)].fill_(NAN);
      result.failures.push_back({"cannot feel", 1, -1});
    }
    return result;
  }

 private:
  int64_t lost_;  // of twelve samples
  RewardInfo info_;
};

TrainingParts half_blind(int64_t lost) {
  auto parts = SmallTraining::parts(0.0, [](uint64_t) { return false; });
  parts.rewards = [=] {
    RewardSpec spec;
    spec.plugin = "half_blind";
    spec.pointer = "/rewards/0";
    std::vector<RewardMember> members;
    members.push_back({spec, std::make_shared<HalfBlind>(lost)});
    return std::make_unique<RewardSet>(std::move(members));
  };
  return parts;
}

class EveryDirectMethod : public ::testing::TestWithParam<std::string> {};

// Five of twelve slopes fail: the others are trained on as if there were no more, and it is said.
TEST_P(EveryDirectMethod, SamplesWithoutASlopeAreMaskedAndTold) {
  const auto iterate = [](Training& t) {
    return method_named(GetParam(), settings_of(GetParam(), 1))->start(t)->iterate(0);
  };
  SmallTraining some(half_blind(5), options_of(GetParam()));
  const auto metrics = iterate(some.training);
  EXPECT_EQ(number(metrics, "masked_samples"), 0.0);
  EXPECT_EQ(number(metrics, "samples_without_slope"), 5.0);
  EXPECT_GT(number(metrics, "grad_norm"), 0.0);
  const auto events = some.training.events.take();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].type, "reward_failed");
  EXPECT_EQ(events[0].data.at("phase"), "gradient");
  EXPECT_EQ(events[0].data.at("masked"), 5);
  EXPECT_NE(events[0].message.find("cannot feel"), std::string::npos) << events[0].message;
  SmallTraining none(half_blind(12), options_of(GetParam()));
  EXPECT_ERROR(iterate(none.training), "/rewards");
}

TEST_P(EveryDirectMethod, AScheduleWhoseLastStepIsWastedIsRefused) {
  auto options = options_of(GetParam());
  options.sampler.schedule.name = "karras";
  options.sampler.schedule.sigma_min = 0.001;
  SmallTraining small(
      0.0, [](uint64_t) { return false; }, options);
  EXPECT_ERROR(method_named(GetParam(), settings_of(GetParam(), 1))->start(small.training),
               "/sampler/schedule");
}

INSTANTIATE_TEST_SUITE_P(Methods, EveryDirectMethod, ::testing::Values("refl", "draft", "adjoint_matching"));

TEST(Direct, RefusesSamplersByName) {
  const auto check = [](const std::string& name, const TrainingOptions& options, Json more = Json::object()) {
    auto all = settings_of(name, 1);
    all.update(more);
    method_named(name, all)->check(options);
  };
  const auto with = [](const std::string& name, const char* sampler) {
    auto o = options_of(name);
    o.sampler.kind = Chosen<SamplerKind>(sampler_table(), sampler);
    return o;
  };
  for (const char* name : {"refl", "draft"}) {
    check(name, options_of(name));
    EXPECT_ERROR(check(name, with(name, "heun")), "/sampler/name");
  }
  auto options = options_of("draft");
  options.sampler.tail_ratio = 0.5;
  EXPECT_ERROR(check("draft", options), "/sampler/tail_ratio");
  EXPECT_ERROR(check("draft", options_of("draft"), {{"steps_back", 5}}), "/method/steps_back");
  EXPECT_ERROR(check("draft", options_of("draft"), {{"steps_back", 2}, {"low_variance", 1}}),
               "/method/low_variance");
  EXPECT_ERROR(check("refl", options_of("refl"), {{"first_share", 0.8}, {"last_share", 0.5}}),
               "/method/last_share");

  const std::string matching = "adjoint_matching";
  check(matching, options_of(matching));
  for (const char* sampler : {"flow_ode", "flow_sde", "dance_sde", "cps"})
    EXPECT_ERROR(check(matching, with(matching, sampler)), "/sampler/name");
  options = options_of(matching);
  options.sampler.guidance_scale = 2.0;
  EXPECT_ERROR(check(matching, options), "/sampler/guidance_scale");
  options = options_of(matching);
  options.sampler.window_size = 2;
  EXPECT_ERROR(check(matching, options), "/sampler/window");
  EXPECT_ERROR(check(matching, options_of(matching), {{"times_per_sample", 5}}), "/method/times_per_sample");
  options = options_of(matching);
  read_fields({{"name", "memoryless"}, {"noise_level", 0.9}, {"steps", 4}}, "/sampler",
              [&](Fields& f) { describe(f, options.sampler); });
  EXPECT_ERROR(check(matching, options), "/sampler/noise_level");
}

}  // namespace
}  // namespace thalweg
