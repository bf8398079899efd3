// The discriminator of DMD2: a head on the critic's features.
#include "pipelines/methods/discriminator.h"

#include <gtest/gtest.h>

#include "engine/models/features.h"
#include "engine/optim/gradients.h"
#include "pipelines/plan/method_count.h"
#include "tests/methods/methods.h"

namespace thalweg {
namespace {

Json settings(Json more = Json::object()) {
  auto all = settings_of("dmd2", 1);
  all["guidance_scale"] = 1.0;
  all["discriminator"] = {{"parts", 2}, {"width", 3}};
  all["critic"] = {{"alone", 0}, {"updates", 2}};
  all.update(more, /*merge_objects=*/true);
  return all;
}

struct AtWork {
  explicit AtWork(const Json& more = Json::object(), int64_t micro_batch = 4)
      : small(parts(), options(micro_batch)),
        run(method_named("dmd2", settings(more))->start(small.training)) {}
  static TrainingParts parts() {
    auto parts = SmallTraining::parts(0.0, [](uint64_t) { return false; });
    parts.pictures = {at::arange(3, at::kDouble).view({3, 1, 1, 1, 1, 1}).expand({3, 1, 1, 1, 2, 2}).clone()};
    return parts;
  }
  static TrainingOptions options(int64_t micro_batch) { return options_of("dmd2", micro_batch); }
  Role& role(const std::string& name) {
    for (const auto& role : small.training.roles.all())
      if (role->name() == name) return *role;
    throw Error(name, "no such role");
  }
  SmallTraining small;
  std::unique_ptr<MethodRun> run;
};

// Layer norm, two layers with SiLU, mean over tokens.
at::Tensor logit(const TensorMap& p, const at::Tensor& tokens_BLD) {
  const auto centred = tokens_BLD - tokens_BLD.mean(2, true);
  const auto x = centred / (centred.square().mean(2, true) + 1e-5).sqrt();
  const auto h = at::matmul(x, p.at("first.weight").t()) + p.at("first.bias");
  return (at::matmul(h * at::sigmoid(h), p.at("second.weight").t()) + p.at("second.bias")).flatten(1).mean(1);
}

TEST(Features, TheInnermostScopeHearsTheBlockInTheMiddle) {
  const auto tokens = [](double value) { return at::full({1, 2, 3}, value); };
  tell_features(0, 1, tokens(0.0));  // nobody listens
  const FeatureScope outer;
  {
    const FeatureScope inner;
    for (int64_t i = 0; i < 5; ++i) tell_features(i, 5, tokens(static_cast<double>(i)));
    EXPECT_TRUE(at::equal(inner.tokens_BLD(), tokens(2.0)));
  }
  EXPECT_FALSE(outer.tokens_BLD().defined());
  tell_features(0, 2, tokens(7.0));
  EXPECT_TRUE(at::equal(outer.tokens_BLD(), tokens(7.0)));
}

// Both losses as they are written, of a network without blocks by its velocity.
TEST(Discriminator, ItsLossesAreThePapers) {
  SmallTraining small(AtWork::parts(), AtWork::options(4));
  auto& t = small.training;
  const DiscriminatorOptions o{
      .present = true, .parts = 1, .width = 5, .weight = 0.3, .generator_weight = 0.7, .optimizer = {}};
  Discriminator d(o, t);
  const GroupPlan plan{.groups = 12, .group_size = 1, .updates = 1};
  Metrics metrics;
  const auto velocity = t.policy.velocity();
  const auto sampler = [](const SamplerInput& in) { return walk(in); };
  Walks walks(draw_unscored_groups(t, 0, plan, velocity, sampler), plan, metrics);
  d.draw(walks, 0, plan, t.space.reference());
  const auto& batch = walks.batches()[1];
  const auto tau_B = at::full({4}, 0.4, at::kDouble), zero_B = at::zeros({4}, at::kDouble);
  const auto x = batch.trajectory.x0_BCFHW;
  const auto noise = at::ones_like(x) * 0.25;
  const Step step{tau_B, tau_B, -1, batch.slot_B()};
  const WalkedStep w{batch, 0, {3, 3, 3, 3}, {tau_B, zero_B, -1, batch.slot_B()}, x, x, x, 4};
  const Renoised r{0.6 * x + 0.4 * noise, noise, step, batch.conditioning};
  const auto D = [&](const at::Tensor& clean) {
    return logit(d.head().parameters(),
                 velocity(0.6 * clean + 0.4 * noise, step, batch.conditioning).flatten(1).unsqueeze(1));
  };
  // The teacher is what the generator is, and draws the same noise.
  const auto fake = heard(velocity, r.x_tau, step, batch.conditioning);
  EXPECT_TRUE(at::allclose(d.critic_loss(fake, velocity, r, w),
                           0.3 * (at::softplus(D(x)) + at::softplus(-D(x))), 1e-9, 1e-12));
  auto leaf = x.detach().clone().set_requires_grad(true);
  const auto loss_B = d.generator_loss(leaf, velocity, r);
  EXPECT_TRUE(at::allclose(loss_B, 0.7 * at::softplus(-D(x)), 1e-9, 1e-12));
  EXPECT_TRUE(loss_B.requires_grad());
}

TEST(Discriminator, HeadAndCriticLearnTogether) {
  AtWork work;
  const auto before = cloned(work.role("discriminator").parameters());
  const auto metrics = work.run->iterate(0);
  EXPECT_EQ(work.role("discriminator").steps(), 2);
  EXPECT_EQ(work.role("critic").steps(), 2);
  EXPECT_FALSE(
      at::equal(before.at("second.weight"), work.role("discriminator").parameters().at("second.weight")));
  EXPECT_GT(number(metrics, "discriminator_loss"), 0.0);
  EXPECT_GT(number(metrics, "discriminator_grad_norm"), 0.0);
  // Without weights it is there and says nothing.
  const Json silence = {{"discriminator", {{"weight", 0.0}, {"generator_weight", 0.0}}}};
  AtWork silent(silence);
  SmallTraining without(AtWork::parts(), AtWork::options(4));
  auto plain = settings();
  plain.erase("discriminator");
  const auto a = silent.run->iterate(0), b = method_named("dmd2", plain)->start(without.training)->iterate(0);
  for (const char* name : {"critic_loss", "policy_loss", "grad_norm", "critic_grad_norm"})
    EXPECT_NEAR(number(a, name), number(b, name), 1e-12) << name;
  EXPECT_NE(number(metrics, "grad_norm"), number(a, "grad_norm"));
}

// Tells x and its square of each element as features.
class TellingModel final : public SmallModel {
 public:
  Velocity bind(const TensorMap& p, const Adapter* adapter) const override {
    return [of = SmallModel::bind(p, adapter)](const at::Tensor& x, const Step& step, const Conditioning& c) {
      const auto elements = x.flatten(1);
      tell_features(0, 1, at::stack({elements, elements.square(), at::ones_like(elements)}, 2));
      return of(x, step, c);
    };
  }
};

// Generator and critic stand still; the teacher draws around another mean.
TEST(Discriminator, LearnsToTellWhatDiffers) {
  auto parts = AtWork::parts();
  parts.model = std::make_unique<TellingModel>();
  parts.teacher = {{"a", at::full({1}, 0.5, at::kDouble)}, {"b", at::full({1}, -3.0, at::kDouble)}};
  auto options = AtWork::options(12);
  options.optimizer.learning_rate = 0.0;
  SmallTraining small(std::move(parts), options);
  const Json more = {
      {"teacher", "the parts'"},
      {"critic", {{"optimizer", {{"learning_rate", 0.0}}}}},
      {"discriminator", {{"width", 8}, {"weight", 1.0}, {"optimizer", {{"learning_rate", 0.03}}}}}};
  const auto run = method_named("dmd2", settings(more))->start(small.training);
  const double first = number(run->iterate(0), "discriminator_loss");
  for (int64_t i = 1; i < 100; ++i) run->iterate(i);
  EXPECT_GT(first, 1.0);  // 2 log 2 where nothing is told apart
  EXPECT_LT(number(run->iterate(100), "discriminator_loss"), 0.8);
}

TEST(Discriminator, GoesOnFromACheckpointBitForBit) {
  AtWork whole, resumed;
  whole.run->iterate(0);
  carry_over(1, whole.small.training, *whole.run, resumed.small.training, *resumed.run);
  const auto a = whole.run->iterate(1), b = resumed.run->iterate(1);
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, value] : a) EXPECT_EQ(value, number(b, name)) << name;
}

TEST(Discriminator, TheMicroBatchDoesNotShow) {
  for (const char* name : {"teacher", "pictures"}) {
    std::vector<double> norms;
    for (const int64_t micro_batch : {12, 5, 1}) {
      auto all = settings();
      all["discriminator"] = {{"name", name}, {"width", 3}};
      SmallTraining small(AtWork::parts(), AtWork::options(micro_batch));
      norms.push_back(number(method_named("dmd2", all)->start(small.training)->iterate(0), "grad_norm"));
    }
    EXPECT_NEAR(norms[0], norms[1], 1e-11);
    EXPECT_NEAR(norms[0], norms[2], 1e-11);
  }
}

// Of each sample the picture of its own line, beside the rollout.
TEST(Discriminator, RealPicturesAreThoseOfTheSamplesLines) {
  SmallTraining small(AtWork::parts(), AtWork::options(5));
  auto& t = small.training;
  Metrics metrics;
  const GroupPlan plan{.groups = 6, .group_size = 2, .updates = 1};
  const auto velocity = t.policy.velocity();
  Walks walks(draw_unscored_groups(t, 0, plan, velocity, [](const SamplerInput& in) { return walk(in); }),
              plan, metrics);
  DiscriminatorOptions o;
  o.present = true;
  o.data = "pictures";
  o.width = 3;
  o.weight = 1.0;
  Discriminator d(o, t);
  d.draw(walks, 0, plan, velocity);
  int64_t begin = 0;
  for (const auto& batch : walks.batches()) {
    const auto B = static_cast<int64_t>(batch.rows.size());
    std::vector<double> of_lines;
    for (const auto& row : batch.rows) of_lines.push_back(static_cast<double>(row.prompt));
    const auto tau_B = at::full({B}, 0.4, at::kDouble);
    const auto x = batch.trajectory.x0_BCFHW, noise = at::ones_like(x).cumsum(4);
    const Step step{tau_B, tau_B, -1, batch.slot_B()};
    const WalkedStep w{batch, 0, std::vector<int64_t>(batch.rows.size(), 3), step, x, x, x, begin};
    const Renoised r{x, noise, step, batch.conditioning};
    const auto real = 0.6 * at::tensor(of_lines, at::kDouble).view({-1, 1, 1, 1, 1}) + 0.4 * noise;
    const auto D = [&](const at::Tensor& tokens) { return logit(d.head().parameters(), tokens); };
    const auto fake = heard(velocity, x, step, batch.conditioning);
    EXPECT_TRUE(
        at::allclose(d.critic_loss(fake, velocity, r, w),
                     at::softplus(D(fake.tokens)) +
                         at::softplus(-D(velocity(real, step, batch.conditioning).flatten(1).unsqueeze(1))),
                     1e-9, 1e-12));
    begin += B;
  }
}

TEST(Discriminator, IsCountedAndRefused) {
  const auto count = count_method(*method_named("dmd2", settings()), options_of("dmd2"), 0,
                                  [](int64_t steps) { return linear_schedule(steps); });
  EXPECT_EQ(count.forwards_of_rollout, 4.0 + 8.0);
  ASSERT_EQ(count.roles.size(), 2u);  // the head is no set of the network's parameters
  EXPECT_EQ(count.roles[1].name, "critic");
  EXPECT_FALSE(method_named("dmd2", settings())->pictures().given());
  auto files = settings();
  files["discriminator"] = {{"name", "pictures"}, {"folder", "here"}};
  for (const char* name : {"dmd2", "reward_forcing"}) {
    const auto source = method_named(name, files)->pictures();
    EXPECT_TRUE(source.given());
    EXPECT_EQ(source.folder, "here");
  }
  EXPECT_ERROR(method_named("dmd2", settings({{"discriminator", {{"optimizer", {{"learning_rate", 0.0}}}}}}))
                   ->check(options_of("dmd2")),
               "/method/discriminator/optimizer/learning_rate");
}

}  // namespace
}  // namespace thalweg
