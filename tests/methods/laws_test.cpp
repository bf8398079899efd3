// What holds for every method of the table.
#include <gtest/gtest.h>

#include "engine/core/shuffled.h"
#include "engine/models/schedulers/few_step_scheduler.h"
#include "pipelines/align/few_step.h"
#include "pipelines/plan/method_count.h"
#include "samplers/schedules/shifted.h"
#include "tests/io/scratch.h"
#include "tests/methods/methods.h"
#include "tests/methods/permuted_rollout.h"

namespace thalweg {
namespace {

// Guidance matters to it.
TrainingParts law_parts(const std::function<bool(uint64_t)>& fails) {
  auto parts = SmallTraining::parts(0.5, fails);
  parts.model = std::make_unique<SmallModel>(0.5, 0.1, 0.3);
  return parts;
}

struct AtWork {
  AtWork(
      const std::string& name, const TrainingOptions& options,
      const std::function<bool(uint64_t)>& fails = [](uint64_t) { return false; }, int64_t updates = 2)
      : small(law_parts(fails), options),
        method(method_named(name, settings_of(name, updates))),
        run(method->start(small.training)) {}
  const TensorMap& policy() const { return small.training.policy.parameters(); }
  /// Of the policy and the roles beside it, by name.
  std::map<std::string, double> parameters() const {
    std::map<std::string, double> all;
    for (const auto& role : small.training.roles.all())
      for (const auto& [name, tensor] : role->parameters())
        for (int64_t i = 0; i < tensor.numel(); ++i)
          all[role->name() + "/" + name + std::to_string(i)] = tensor.flatten()[i].item<double>();
    return all;
  }

  SmallTraining small;
  Chosen<Method> method;
  std::unique_ptr<MethodRun> run;
};

class EveryMethod : public ::testing::TestWithParam<std::string> {};

TEST_P(EveryMethod, Learns) {
  AtWork run(GetParam(), options_of(GetParam()));
  const auto metrics = run.run->iterate(0);
  EXPECT_EQ(run.small.training.policy.steps(), 2);
  EXPECT_GT(number(metrics, "grad_norm"), 0.0);
  EXPECT_TRUE(std::isfinite(number(metrics, "policy_loss")));
  EXPECT_NE(run.policy().at("b").item<double>(), 0.1);
}

TEST_P(EveryMethod, SameNumbersForAnyMicroBatch) {
  AtWork whole(GetParam(), options_of(GetParam(), 12));
  for (int64_t i = 0; i < 2; ++i) whole.run->iterate(i);
  for (const int64_t micro_batch : {1, 3, 5}) {
    AtWork run(GetParam(), options_of(GetParam(), micro_batch));
    for (int64_t i = 0; i < 2; ++i) run.run->iterate(i);
    for (const char* name : {"a", "b"})
      EXPECT_NEAR(run.policy().at(name).item<double>(), whole.policy().at(name).item<double>(), 1e-11)
          << micro_batch << " " << name;
  }
}

// eps far above any gradient: AdamW is plain descent by them, so that what moves says how large each is.
TrainingOptions descent_of(const std::string& name, int64_t micro_batch) {
  auto o = options_of(name, micro_batch);
  o.optimizer.eps = 1e6;
  o.optimizer.learning_rate = 1e5;
  o.optimizer.max_grad_norm = 1e9;
  return o;
}

// The same samples in another order, over micro-batches and groups alike; pairs are made of them after that.
// Of methods that draw trees, whole trees (see PermutedRollouts). Two updates, so that the second is of what
// the first has changed.
TEST_P(EveryMethod, APermutedBatchGivesTheSameGradient) {
  const auto options = descent_of(GetParam(), 5);
  AtWork before(GetParam(), options), ordered(GetParam(), options);
  const auto metrics = ordered.run->iterate(0);
  EXPECT_NE(ordered.policy().at("b").item<double>(), before.policy().at("b").item<double>());
  for (const int64_t which : {1, 2}) {
    const PermutedRollouts permuted([which](int64_t n) { return shuffled(0, Purpose::data, which, 0, n); });
    AtWork run(GetParam(), options);
    const auto same = run.run->iterate(0);
    EXPECT_GT(permuted.moved(), 0);
    for (const auto& [name, value] : ordered.parameters()) {
      const double moved = value - before.parameters().at(name);
      EXPECT_NEAR(run.parameters().at(name) - before.parameters().at(name), moved, 1e-10 * std::abs(moved))
          << which << " " << name;
    }
    ASSERT_EQ(same.size(), metrics.size());
    for (const auto& [name, value] : metrics)
      if (!std::isnan(value)) {
        EXPECT_NEAR(number(same, name), value, 1e-10) << which << " " << name;
      }
  }
}

TEST_P(EveryMethod, SameBitsForAnyNumberOfWorkers) {
  auto options = options_of(GetParam(), 2);
  options.parallel.lanes = 3;
  AtWork one(GetParam(), options);
  for (int64_t i = 0; i < 2; ++i) one.run->iterate(i);
  for (const int64_t workers : {2, 3}) {
    options.parallel.workers = workers;
    AtWork run(GetParam(), options);
    for (int64_t i = 0; i < 2; ++i) run.run->iterate(i);
    for (const char* name : {"a", "b"})
      EXPECT_TRUE(at::equal(run.policy().at(name), one.policy().at(name))) << workers << " " << name;
  }
}

// Where there is an importance ratio, it is 1 as long as the policy is the one that drew the samples. The
// transition loops say so by log-probs, those on clean latents by the ratio itself.
TEST_P(EveryMethod, TheRatioIsOneBeforeTheFirstUpdate) {
  AtWork run(
      GetParam(), options_of(GetParam()), [](uint64_t) { return false; }, 1);
  const bool replays = has_key(GetParam(), "anchor"), clips = run.method->clip_range().has_value();
  if (!replays && !clips) GTEST_SKIP() << "has no ratio";
  const auto metrics = run.run->iterate(0);
  if (replays) {
    EXPECT_NEAR(number(metrics, "ratio_dev_first_step"), 0.0, 1e-12);
    EXPECT_NEAR(number(metrics, "approx_kl"), 0.0, 1e-12);
  } else {
    EXPECT_NEAR(number(metrics, "ratio"), 1.0, 1e-12);
  }
  if (clips) {
    EXPECT_EQ(number(metrics, "clipfrac"), 0.0);
  }
}

// At the start, where the policy is its own reference. Methods that weigh or pair samples have no advantages.
TEST_P(EveryMethod, WithoutAdvantagesThereIsNoGradient) {
  auto settings = settings_of(GetParam());
  if (GetParam() == "tdm_r1") {  // a distillation as well
    settings["guidance_weight"] = 0.0;
    settings["critic"]["optimizer"]["learning_rate"] = 0.0;
    settings["surrogate"]["optimizer"]["weight_decay"] = 0.0;
  }
  const auto method = method_named(GetParam(), settings);
  if (!has_key(GetParam(), "aggregation")) GTEST_SKIP() << "learns from no advantages";
  auto parts = SmallTraining::parts(0.0, [](uint64_t) { return false; });
  parts.rewards = flat_rewards;
  SmallTraining small(std::move(parts), stochastic());
  const auto metrics = method->start(small.training)->iterate(0);
  EXPECT_NEAR(number(metrics, "zero_std_ratio"), 1.0, 1e-12);
  EXPECT_NEAR(number(metrics, "grad_norm"), 0.0, 1e-12);
}

TEST_P(EveryMethod, GoesOnFromACheckpointBitForBit) {
  AtWork whole(GetParam(), options_of(GetParam())), resumed(GetParam(), options_of(GetParam()));
  whole.run->iterate(0);
  carry_over(1, whole.small.training, *whole.run, resumed.small.training, *resumed.run);
  const auto a = whole.run->iterate(1), b = resumed.run->iterate(1);
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, value] : a) EXPECT_EQ(value, number(b, name)) << name;
  for (const char* name : {"a", "b"})
    EXPECT_TRUE(at::equal(whole.policy().at(name), resumed.policy().at(name)));
}

TEST_P(EveryMethod, AMaskedSampleIsCountedAndNotTrainedOn) {
  AtWork run(GetParam(), options_of(GetParam()), [](uint64_t id) { return id % 12 == 5; });
  const auto metrics = run.run->iterate(0);
  if (std::isnan(number(metrics, "masked_samples"))) GTEST_SKIP() << "scores no samples";
  EXPECT_EQ(number(metrics, "masked_samples"), 1.0);
  EXPECT_TRUE(std::isfinite(number(metrics, "grad_norm")));
  const size_t led = std::isnan(number(metrics, "guidance_reward_calls")) ? 0 : 1,
               scored = std::isnan(number(metrics, "reward")) ? 0 : 1;
  EXPECT_EQ(run.small.training.events.take().size(), led + scored);
}

TEST_P(EveryMethod, WithoutARateNothingMoves) {
  auto options = options_of(GetParam());
  options.optimizer.learning_rate = 0.0;
  AtWork run(GetParam(), options);
  for (int64_t i = 0; i < 2; ++i) run.run->iterate(i);
  EXPECT_EQ(run.policy().at("a").item<double>(), 0.5);
  EXPECT_EQ(run.policy().at("b").item<double>(), 0.1);
}

// A copy of a chosen method has options of its own, and says what it was given.
TEST_P(EveryMethod, IsAValue) {
  auto method = method_named(GetParam(), settings_of(GetParam()));
  auto copy = method;
  copy->groups().groups = 77;
  EXPECT_NE(method->groups().groups, 77);
  const auto written = write_fields([&](Fields& f) { copy.describe(f, {"name", ""}, method_table()); });
  EXPECT_EQ(written.at("name"), GetParam());
  EXPECT_EQ(written.at("prompts_per_iteration"), 77);
}

TEST_P(EveryMethod, RefusesMoreUpdatesThanGroups) {
  EXPECT_ERROR(method_named(GetParam(), settings_of(GetParam(), 13))->check(options_of(GetParam())),
               "/method/updates");
}

// What `plan` counts is what the method does, for each sample.
TEST_P(EveryMethod, IsCountedByRunningIt) {
  const auto method = method_named(GetParam(), settings_of(GetParam()));
  const auto options = options_of(GetParam());
  const auto schedule = [](int64_t steps) { return linear_schedule(steps); };
  const auto count = count_method(*method, options, 0, schedule);
  EXPECT_GT(count.forwards_with_gradient, 0.0);
  EXPECT_EQ(count.rows_with_gradient, 1.0);
  ASSERT_FALSE(count.roles.empty());
  EXPECT_EQ(count.roles[0].name, "policy");
  EXPECT_TRUE(count.roles[0].learns);
  auto guided = options;
  guided.sampler.guidance_scale = 3.0;
  const auto with_guidance = count_method(*method, guided, 0, schedule);
  EXPECT_EQ(with_guidance.stored_latents, count.stored_latents);
  EXPECT_GE(with_guidance.forwards_with_gradient, count.forwards_with_gradient);
  AtWork run(GetParam(), options);
  EXPECT_EQ(run.small.training.roles.all().size(), count.roles.size());
}

// A method that keeps clean latents alone denoises them; one that keeps the states of a walk trains its
// steps.
TEST_P(EveryMethod, DenoisesWhereItKeepsCleanLatentsAlone) {
  const auto method = method_named(GetParam(), settings_of(GetParam()));
  const auto count =
      count_method(*method, options_of(GetParam()), 0, [](int64_t steps) { return linear_schedule(steps); });
  EXPECT_EQ(method->denoises(), count.stored_latents == 1.0);
  EXPECT_FALSE(method->denoises() && method->few_step());
}

// A denoising loss blurs a few-step generator, and one that makes such generators finds no teacher in it. The
// others train the steps that it has.
TEST_P(EveryMethod, TrainsAFewStepGeneratorWhereItKeepsItsSteps) {
  const Scratch scratch;
  const auto folder = scratch / "model";
  std::filesystem::copy(THALWEG_SOURCE_DIR "/assets/laboratory/line", folder,
                        std::filesystem::copy_options::recursive);
  AlignOptions o;
  o.method = method_named(GetParam(), settings_of(GetParam()));
  o.model.path = folder.string();
  o.sampler.steps = o.evaluate.steps = 4;
  EXPECT_NO_THROW(check_few_step(o));
  write_few_step_scheduler(folder, few_step_config(nullptr, shifted_schedule(4, 1.0)));
  if (o.method->denoises()) {
    EXPECT_ERROR(check_few_step(o), "/method/name: a denoising loss blurs a few-step generator (TDM-R1");
    o.force = true;
    EXPECT_NO_THROW(check_few_step(o));
  } else if (o.method->few_step()) {
    EXPECT_ERROR(check_few_step(o), "/method/name: \"" + GetParam() + "\" needs a teacher of many steps");
    o.evaluate.steps = 5;
    EXPECT_ERROR(check_few_step(o), "/evaluate/steps: must be /sampler/steps, 4");
  } else {
    EXPECT_NO_THROW(check_few_step(o));
    o.sampler.steps = 5;
    EXPECT_ERROR(check_few_step(o), "/sampler/steps: must be 4");
    o.sampler.steps = 4;
    o.sampler.schedule = {.name = "shifted", .shift = 3.0};
    EXPECT_ERROR(check_few_step(o), "/sampler/schedule: gives other noise levels");
    o.sampler.schedule.shift = 1.0;
    EXPECT_NO_THROW(check_few_step(o));
  }
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const auto& row : method_table()) all.emplace_back(row.name);
  return all;
}

INSTANTIATE_TEST_SUITE_P(Methods, EveryMethod, ::testing::ValuesIn(names()));

}  // namespace
}  // namespace thalweg
