#include "pipelines/training/roles.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "engine/io/checkpoint.h"
#include "engine/optim/gradients.h"
#include "tests/io/scratch.h"
#include "tests/training/small_model.h"

namespace thalweg {
namespace {

class RolesTest : public ::testing::Test {
 protected:
  static double value(const TensorMap& tensors, const char* name = "a") {
    return tensors.at(name).item<double>();
  }
  static TensorMap gradient(double a, double b = 0.0) {
    return {{"a", at::full({1}, a, at::kDouble)}, {"b", at::full({1}, b, at::kDouble)}};
  }
  static Learning learning(double rate, double ema_decay = 0.0) {
    Learning how;
    how.optimizer.learning_rate = rate;
    how.optimizer.weight_decay = 0.0;
    how.optimizer.max_grad_norm = 1e6;
    how.ema_decay = ema_decay;
    return how;
  }

  const SmallModel model_;
  const PolicySpace space_{model_, ModelSection{}, 0};
};

TEST_F(RolesTest, AStepIsAdamsAndIsCounted) {
  Roles roles;
  auto& policy = roles.add("policy", space_, space_.start(), learning(0.01));
  EXPECT_EQ(roles.all().at(0).get(), &policy);
  const auto step = policy.step(gradient(3.0, 4.0), policy.rate_at(0, 10));
  EXPECT_DOUBLE_EQ(step.grad_norm, 5.0);
  EXPECT_FALSE(step.skipped);
  EXPECT_EQ(policy.steps(), 1);
  // Adam's first step has the gradient's sign times the rate.
  EXPECT_NEAR(value(policy.parameters()), 0.5 - 0.01, 1e-8);
  EXPECT_NEAR(value(policy.parameters(), "b"), 0.1 - 0.01, 1e-8);
}

TEST_F(RolesTest, AStepThatIsNotFiniteChangesNothing) {
  Roles roles;
  auto& policy = roles.add("policy", space_, space_.start(), learning(0.01, 0.9));
  const auto before = cloned(policy.parameters()), shown = cloned(policy.shown());
  const auto step = policy.step(gradient(std::numeric_limits<double>::quiet_NaN()), policy.rate_at(0, 10));
  EXPECT_TRUE(step.skipped);
  EXPECT_EQ(policy.steps(), 0);
  EXPECT_TRUE(at::equal(policy.parameters().at("a"), before.at("a")));
  EXPECT_TRUE(at::equal(policy.shown().at("a"), shown.at("a")));
}

// What reaches Adam is cut: its first moment is (1 - beta1) times it.
TEST_F(RolesTest, CutsByTheOptimizersBounds) {
  auto how = learning(0.01);
  how.optimizer.max_grad_value = 0.5;
  Roles roles;
  auto& policy = roles.add("policy", space_, space_.start(), how);
  EXPECT_DOUBLE_EQ(policy.step(gradient(3.0, -4.0), policy.rate_at(0, 10)).grad_norm, 5.0);
  const Scratch scratch;
  CheckpointWriter checkpoint(scratch.folder(), 1);
  StateWriter writer(checkpoint);
  roles.state(writer);
  StateReader reader(checkpoint.commit(writer.json(), {}), at::kCPU);
  TensorMap moments;
  reader.tensors("policy.optimizer", moments);
  EXPECT_NEAR(value(moments, "exp_avg/a"), 0.1 * 0.5, 1e-12);
  EXPECT_NEAR(value(moments, "exp_avg/b"), -0.1 * 0.5, 1e-12);
}

TEST_F(RolesTest, CountsWhatWasSkippedInARow) {
  const double bad = std::numeric_limits<double>::quiet_NaN();
  const Scratch scratch;
  Roles roles, later;
  auto& policy = roles.add("policy", space_, leaves(cloned(space_.start())), learning(0.01));
  auto& resumed = later.add("policy", space_, leaves(cloned(space_.start())), learning(0.01));
  EXPECT_EQ(policy.step(gradient(bad), policy.rate_at(0, 10)).skipped_in_a_row, 1);
  EXPECT_EQ(policy.step(gradient(1.0), policy.rate_at(0, 10)).skipped_in_a_row, 0);
  EXPECT_EQ(policy.step(gradient(bad), policy.rate_at(0, 10)).skipped_in_a_row, 1);
  EXPECT_EQ(policy.step(gradient(bad), policy.rate_at(0, 10)).skipped_in_a_row, 2);
  CheckpointWriter checkpoint(scratch.folder(), 1);
  StateWriter writer(checkpoint);
  roles.state(writer);
  StateReader reader(checkpoint.commit(writer.json(), {}), at::kCPU);
  later.state(reader);
  EXPECT_EQ(resumed.step(gradient(bad), policy.rate_at(0, 10)).skipped_in_a_row, 3);
}

// Half of the way: 1/2 of the rate whether it falls in a line or as a cosine; a quarter: 3/4 and .8536.
TEST(OptimizerSection, RateFollowsItsSchedule) {
  OptimizerSection o;
  o.learning_rate = 2.0;
  EXPECT_DOUBLE_EQ(o.rate_at(7, 8), 2.0);
  o.schedule = "linear";
  EXPECT_DOUBLE_EQ(o.rate_at(2, 8), 1.5);
  o.schedule = "cosine";
  EXPECT_DOUBLE_EQ(o.rate_at(0, 8), 2.0);
  EXPECT_DOUBLE_EQ(o.rate_at(2, 8), 1.0 + std::sqrt(0.5));
  EXPECT_DOUBLE_EQ(o.rate_at(4, 8), 1.0);
  o.schedule = "constant";
  o.warmup_iterations = 4;
  EXPECT_DOUBLE_EQ(o.rate_at(0, 8), 0.5);
  EXPECT_DOUBLE_EQ(o.rate_at(3, 8), 2.0);
}

TEST_F(RolesTest, ParametersAreBoundOnceBetweenTwoChangesOfThem) {
  Roles roles;
  auto& policy = roles.add("policy", space_, space_.start(), learning(0.01));
  auto& old = roles.add("old", space_, cloned(policy.parameters()));
  const auto at_one = [](const Role& role) {
    return role.velocity()(at::ones({1, 1, 1, 2, 2}, at::kDouble), {}, {}).mean();
  };
  {
    const c10::NoGradGuard drawing;  // whoever binds first must not cut the gradients of those who train
    EXPECT_DOUBLE_EQ(at_one(policy).item<double>(), 0.6);
  }
  EXPECT_TRUE(at_one(policy).requires_grad());
  EXPECT_EQ(model_.binds, 1);
  policy.step(gradient(3.0, 4.0), policy.rate_at(0, 10));
  EXPECT_NEAR(at_one(policy).item<double>(), 0.58, 1e-7);
  EXPECT_EQ(model_.binds, 2);
  EXPECT_DOUBLE_EQ(at_one(old).item<double>(), 0.6);
  old.follow(policy, 0.5);
  EXPECT_NEAR(at_one(old).item<double>(), 0.59, 1e-7);
}

TEST_F(RolesTest, TheAverageIsWhatIsShown) {
  Roles roles;
  auto& policy = roles.add("policy", space_, space_.start(), learning(0.01, 0.9));
  policy.step(gradient(1.0), policy.rate_at(0, 10));
  // Decay min(1 / 10, .9) at the first step.
  EXPECT_NEAR(value(policy.shown()), 0.1 * 0.5 + 0.9 * value(policy.parameters()), 1e-12);
}

TEST_F(RolesTest, RolesLearnApart) {
  Roles roles;
  auto& policy = roles.add("policy", space_, cloned(space_.start()), learning(0.5));
  auto critic_learns = learning(0.1);
  critic_learns.optimizer.max_grad_norm = 1e-3;
  auto& critic = roles.add("critic", space_, leaves(cloned(space_.start())), critic_learns);
  critic.step(gradient(1.0), critic.rate_at(0, 10));
  critic.step(gradient(1.0), critic.rate_at(1, 10));
  EXPECT_EQ(policy.steps(), 0);
  EXPECT_EQ(critic.steps(), 2);
  EXPECT_EQ(value(policy.parameters()), 0.5);
  EXPECT_NEAR(value(critic.parameters()), 0.5 - 0.2, 1e-3);
}

TEST_F(RolesTest, FollowsByTheDecay) {
  Roles roles;
  auto& policy = roles.add("policy", space_, leaves(cloned(space_.start())), learning(0.1));
  auto& old = roles.add("old", space_, cloned(policy.parameters()));
  EXPECT_FALSE(old.learns());
  policy.step(gradient(1.0), policy.rate_at(0, 10));
  old.follow(policy, 0.25);
  EXPECT_NEAR(value(old.parameters()), 0.25 * 0.5 + 0.75 * value(policy.parameters()), 1e-12);
}

TEST_F(RolesTest, GoOnFromACheckpointBitForBit) {
  const Scratch scratch;
  struct Run {
    Roles roles;
    Role &policy, &old;
    explicit Run(const PolicySpace& space)
        : policy(roles.add("policy", space, leaves(cloned(space.start())), learning(0.03, 0.9))),
          old(roles.add("old", space, cloned(space.start()))) {}
    void iterate(double g) {
      policy.step(gradient(g, -g), policy.rate_at(0, 10));
      old.follow(policy, 0.5);
    }
  };
  Run whole(space_), resumed(space_);
  whole.iterate(1.0);
  whole.iterate(-2.0);
  CheckpointWriter checkpoint(scratch.folder(), 2);
  StateWriter writer(checkpoint);
  whole.roles.state(writer);
  StateReader reader(checkpoint.commit(writer.json(), {}), at::kCPU);
  resumed.roles.state(reader);
  EXPECT_EQ(resumed.policy.steps(), 2);
  for (auto* run : {&whole, &resumed}) run->iterate(0.7);
  for (const char* name : {"a", "b"}) {
    EXPECT_TRUE(resumed.policy.parameters().at(name).requires_grad());
    EXPECT_TRUE(at::equal(whole.policy.parameters().at(name), resumed.policy.parameters().at(name))) << name;
    EXPECT_TRUE(at::equal(whole.policy.shown().at(name), resumed.policy.shown().at(name))) << name;
    EXPECT_TRUE(at::equal(whole.old.parameters().at(name), resumed.old.parameters().at(name))) << name;
  }
}

TEST_F(RolesTest, NamesAreNewAndKnown) {
  Roles roles;
  roles.add("policy", space_, space_.start());
  EXPECT_ANY_THROW(roles.add("policy", space_, space_.start()));
}

TEST(RunState, NumbersThatAreNotFiniteComeBackAsTheyWere) {
  const Scratch scratch;
  double none = std::nan(""), lowest = -std::numeric_limits<double>::infinity(), some = 0.1;
  int64_t count = 7;
  const auto parts = [&](RunState& state) {
    state.number("none", none);
    state.number("lowest", lowest);
    state.number("some", some);
    state.integer("count", count);
  };
  CheckpointWriter checkpoint(scratch.folder(), 1);
  StateWriter writer(checkpoint);
  parts(writer);
  const auto folder = checkpoint.commit(writer.json(), {});
  some = 0.0;
  count = 0;
  StateReader reader(folder, at::kCPU);
  parts(reader);
  EXPECT_TRUE(std::isnan(none));
  EXPECT_EQ(lowest, -std::numeric_limits<double>::infinity());
  EXPECT_EQ(some, 0.1);
  EXPECT_EQ(count, 7);
  double other = 0.0;
  EXPECT_ERROR(reader.number("other", other), "lacks \"other\"");
  EXPECT_ERROR(reader.integer("some", count), "not a whole number");
}

}  // namespace
}  // namespace thalweg
