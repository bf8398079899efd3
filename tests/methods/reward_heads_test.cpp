// Ways that differentiate each reward: their mixture, their directions, by hand.
#include "pipelines/aggregation/reward_heads.h"

#include <gtest/gtest.h>

#include "engine/core/rng.h"
#include "engine/losses/grpo.h"
#include "engine/losses/nft.h"
#include "engine/optim/gradients.h"
#include "pipelines/methods/matching.h"
#include "pipelines/methods/replay.h"
#include "tests/io/scratch.h"
#include "tests/methods/several_rewards.h"

namespace thalweg {
namespace {

constexpr GroupPlan kPlan{3, 4, 1};

GroupAdvantages random_advantages(uint64_t seed, const at::Tensor& used_B) {
  const auto a_B = normal_noise(seed, Purpose::data, {0}, 0, {12}, at::kDouble)[0].clamp(-5.0, 5.0);
  return {at::where(used_B, a_B, 0.0), used_B};
}

// Three rewards: one for all samples, one for two thirds of them, one for five. None has the last sample.
Advantages three_heads() {
  auto all = at::ones({12}, at::kBool);
  all[11] = false;
  auto some = all.clone(), few = at::zeros({12}, at::kBool);
  for (const int64_t i : {1, 4, 6, 9}) some[i] = false;
  for (const int64_t i : {0, 1, 5, 6, 10}) few[i] = true;
  return {{random_advantages(1, all), random_advantages(2, some), random_advantages(3, few)}, all};
}

// Takes the heads as they are, or mixed, and keeps what comes back.
class Recorder final : public Aggregator {
 public:
  explicit Recorder(std::vector<double> coefficients = {}) : coefficients_(std::move(coefficients)) {}
  Advantages advantages(const Scores&, Metrics&) override { return three_heads(); }
  std::vector<Head> heads(const Advantages& advantages, const Update& update) override {
    auto heads = Aggregator::heads(advantages, update);
    if (coefficients_.empty()) return heads;
    return {mixed(heads, coefficients_)};
  }
  TensorMap direction(Gradients of_heads, Metrics&) override {
    for (const auto& g : of_heads) gradients.push_back(cloned(g));  // what follows writes over them
    return combined(std::move(of_heads), std::vector<double>(gradients.size(), 1.0));
  }
  Gradients gradients;

 private:
  std::vector<double> coefficients_;
};

TrainingOptions still() {
  auto o = stochastic();
  o.optimizer.learning_rate = 0.0;
  return o;
}

// DiffusionNFT's loss against an old policy that is another one, with a penalty.
Gradients of_clean_latents(Recorder recorder) {
  SmallTraining small(
      0.5, [](uint64_t) { return false; }, still());
  auto& t = small.training;
  Metrics metrics;
  const auto [batches, scores] = draw_clean_latents(t, 0, kPlan, t.policy.velocity(), metrics);
  const Matching matching{
      .times = 3,
      .sigmas_TB = [&](const auto& slots) { return shuffled_sigmas(t, schedule_levels(t), 3, slots); },
      .loss =
          [](const Noising& n, const Share&) {
            const auto v_old = (0.9 * n.v - 0.05).detach();
            StepLoss loss{.policy_B = [=, n_v = n.v, x_t = n.x_t, x0 = n.x0,
                                       sigma_B = n.sigma_B](const at::Tensor& advantage_B) {
              return nft_loss(n_v, v_old, x_t, x0, sigma_B, nft_optimality(advantage_B, 5.0), 1.0, 5.0);
            }};
            loss.measures = {{"nothing", n.x0.flatten(1).sum(1)}};
            return loss;
          }};
  train_on_clean_latents(t, batches, kPlan, recorder.advantages(scores, metrics), recorder, matching, 0,
                         metrics);
  return recorder.gradients;
}

// The clipped policy loss where the ratio is 1.
Gradients of_transitions(Recorder recorder) {
  SmallTraining small(
      0.5, [](uint64_t) { return false; }, still());
  auto& t = small.training;
  Metrics metrics;
  const auto window = step_window(t.options.sampler, t.seed(), 0);
  const auto drawn =
      draw_transitions(t, 0, kPlan, window, trained_steps(window, t.options.sampler.steps), metrics);
  ReplayOptions options;
  options.anchor = "recomputed";
  const Replay replay{options, log_prob_of(t.options.sampler), [](const Replayed& r, const Share&) {
                        return StepLoss{.policy_B = [log_prob_B = r.log_prob_B, old_B = r.old_log_prob_B](
                                                        const at::Tensor& advantage_B) {
                          return grpo_loss(log_prob_B, old_B, advantage_B, 0.2).loss_B;
                        }};
                      }};
  train_on_transitions(t, drawn, kPlan, recorder.advantages(drawn.scores, metrics), recorder, replay, 0,
                       metrics);
  return recorder.gradients;
}

// One backward pass of the mixed loss is the sum of K, sample masks included.
TEST(MixedHead, HasTheGradientOfTheMixture) {
  const std::vector<double> c = {0.5, 0.3, 0.2};
  for (const auto& gradients_of_loop : {of_clean_latents, of_transitions}) {
    const auto each = gradients_of_loop(Recorder());
    const auto at_once = gradients_of_loop(Recorder(c));
    ASSERT_EQ(each.size(), 3u);
    ASSERT_EQ(at_once.size(), 1u);
    for (const char* name : {"a", "b"}) {
      double expected = 0.0, scale = 0.0;
      for (size_t k = 0; k < 3; ++k) {
        expected += c[k] * each[k].at(name).item<double>();
        scale += std::fabs(each[k].at(name).item<double>());
      }
      EXPECT_GT(scale, 1e-3);
      EXPECT_NEAR(at_once[0].at(name).item<double>(), expected, 1e-12 * std::max(scale, 1.0)) << name;
    }
  }
}

Head head(const std::vector<double>& advantages, const std::vector<double>& weights) {
  return {at::tensor(advantages, at::kDouble), at::tensor(weights, at::kDouble)};
}

// Sample 1 has both: its weight is 1/2 1/2 + 1/2 1/4, its advantage (1/4 3 + 1/8 (-1)) over that.
TEST(MixedHead, WeighsSamplesByTheRewardsThatTheyHave) {
  const auto one = head({1, 3, 0, 0, 0}, {0.5, 0.5, 0, 0, 0}),
             other = head({0, -1, 2, 2, 4}, {0, .25, .25, .25, .25});
  const auto both = mixed({one, other}, {2.0, 2.0});
  EXPECT_TRUE(at::allclose(both.weight_B, at::tensor({0.25, 0.375, 0.125, 0.125, 0.125}, at::kDouble)));
  EXPECT_TRUE(at::allclose(both.advantage_B, at::tensor({1.0, 0.625 / 0.375, 2.0, 2.0, 4.0}, at::kDouble)));
  const auto alone = mixed({one, other}, {1.0, 0.0});
  EXPECT_TRUE(at::equal(alone.weight_B, one.weight_B));
  EXPECT_TRUE(at::equal(alone.advantage_B, one.advantage_B));
}

// A head without samples leaves its share to the others; where those have none, they count alike.
TEST(MixedHead, OfHeadsThatAreThere) {
  const auto none = head({0, 0}, {0, 0}), one = head({1, 0}, {1, 0}), other = head({0, 3}, {0, 1});
  EXPECT_TRUE(at::equal(mixed({none, one}, {0.9, 0.1}).weight_B, one.weight_B));
  EXPECT_TRUE(
      at::allclose(mixed({none, one, other}, {1.0, 0.0, 0.0}).weight_B, at::full({2}, 0.5, at::kDouble)));
  EXPECT_TRUE(at::equal(mixed({none, none}, {0.5, 0.5}).weight_B, none.weight_B));
}

// --- directions ---

struct Way {
  Way(const std::string& name, const Json& options,
      const std::vector<std::pair<std::string, double>>& weights)
      : rewards(two_rewards(weights)) {
    Json given = options;
    given["name"] = name;
    Chosen<Aggregation> aggregation(aggregation_table().front());
    read_fields(given, "/method/aggregation", [&](Fields& f) {
      aggregation.describe(f, {"name", ""}, aggregation_table());
    });
    aggregator = aggregation->start({}, *rewards);
  }

  TensorMap direction(const std::vector<std::vector<double>>& gradients) {
    Gradients maps;
    for (const auto& g : gradients) maps.push_back({{"w", at::tensor(g, at::kDouble)}});
    metrics.clear();
    return aggregator->direction(std::move(maps), metrics);
  }
  void expect_direction(const std::vector<std::vector<double>>& gradients,
                        const std::vector<double>& expected) {
    const auto d = direction(gradients).at("w");
    EXPECT_TRUE(at::allclose(d, at::tensor(expected, at::kDouble), 1e-9, 1e-12)) << d;
  }
  // Of two samples in one group; the second is better by both.
  std::vector<Head> heads() {
    const auto values = at::tensor({0.0, 0.0, 1.0, 4.0}, at::kDouble).view({2, 2});
    Scores scores;
    scores.raw = scores.transformed = make_reward_batch(rewards->names_K(), values);
    scores.weights_K = rewards->weights_K();
    scores.total = weighted(scores.transformed, scores.weights_K);
    scores.group_B = {0, 0};
    Metrics unused;
    const auto advantages = aggregator->advantages(scores, unused);
    MicroBatch batch;
    batch.rows.resize(2);
    const Update update{.index = 0, .shares = {{batch, 0, 2}}, .used = 2.0, .used_B = advantages.used_B};
    return aggregator->heads(advantages, update);
  }

  std::unique_ptr<RewardSet> rewards;
  std::unique_ptr<Aggregator> aggregator;
  Metrics metrics;
};

const std::vector<std::pair<std::string, double>> kAlike = {{"bright", 1.0}, {"even", 1.0}};

// Of orthogonal gradients 1 and 2 long: half of each direction, times 1.5.
TEST(Marble, IsTheMinimumNormOfTheDirections) {
  Way way("marble", Json::object(), kAlike);
  EXPECT_EQ(way.heads().size(), 2u);
  way.expect_direction({{1, 0}, {0, 2}}, {0.75, 0.75});
  EXPECT_EQ(number(way.metrics, "alpha_small/bright"), 0.5);
  EXPECT_EQ(number(way.metrics, "alpha_small/even"), 0.5);
  EXPECT_EQ(number(way.metrics, "cosine_small/bright_small/even"), 0.0);
  EXPECT_EQ(number(way.metrics, "grad_norm_small/even"), 2.0);
}

// u/w = 3/4 and 3/2 long (weights 4/3 and 2/3): 4/5 and 1/5, so that the first gets twice the progress.
TEST(Marble, PromisesProgressByWeight) {
  Way way("marble", Json::object(), {{"bright", 2.0}, {"even", 1.0}});
  way.expect_direction({{1, 0}, {0, 2}}, {0.6 * 1.5, 0.3 * 1.5});
  EXPECT_NEAR(number(way.metrics, "alpha_small/bright"), 0.8, 1e-12);
  // Between solutions gradients are mixed as they are: 0.8 / (4/3) to 0.2 / (2/3). Both heads count alike
  // here.
  const auto heads = way.heads();
  ASSERT_EQ(heads.size(), 1u);
  EXPECT_TRUE(at::allclose(heads[0].weight_B, at::full({2}, 0.5, at::kDouble)));
  Way floored("marble", {{"alpha_floor", 0.3}}, {{"bright", 2.0}, {"even", 1.0}});
  floored.direction({{1, 0}, {0, 2}});
  EXPECT_NEAR(number(floored.metrics, "alpha_small/bright"), 0.7, 1e-12);
}

TEST(Marble, SolvesEveryNthUpdateAndSmooths) {
  Way way("marble", {{"every", 3}, {"ema_decay", 0.75}}, {{"bright", 2.0}, {"even", 1.0}});
  EXPECT_EQ(way.heads().size(), 2u);
  way.direction({{1, 0}, {0, 2}});  // 4/5
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(way.heads().size(), 1u);
    way.expect_direction({{7, 9}}, {7, 9});
    EXPECT_NEAR(number(way.metrics, "alpha_small/bright"), 0.8, 1e-12);
    EXPECT_TRUE(std::isnan(number(way.metrics, "cosine_small/bright_small/even")));
  }
  EXPECT_EQ(way.heads().size(), 2u);
  way.direction({{1, 0}, {1, 0}});  // the shorter u/w, of the first
  EXPECT_NEAR(number(way.metrics, "alpha_small/bright"), 0.75 * 0.8 + 0.25, 1e-12);
}

// The mixture of the second reward's advantage (the same as the first's here) hides in the weights; a reward
// for one of the samples would show. By the norms: 0.5/1 to 0.5/2.
TEST(Marble, MixesGradientsAsTheyAreOrOfNormOne) {
  const auto share = [](const char* scale) {
    Way way("marble", {{"alpha_scale", scale}}, kAlike);
    way.direction({{1, 0}, {0, 2}});
    auto all = three_heads();
    all.heads.pop_back();
    all.used_B = at::ones({12}, at::kBool);
    MicroBatch batch;
    batch.rows.resize(12);
    const Update update{.index = 0, .shares = {{batch, 0, 12}}, .used = 12.0, .used_B = all.used_B};
    const auto heads = way.aggregator->heads(all, update);
    return heads.at(0).weight_B[1].item<double>() * 11.0;  // a sample that has the first alone: c_1 / 11
  };
  EXPECT_NEAR(share("raw"), 0.5, 1e-12);
  EXPECT_NEAR(share("unit"), 2.0 / 3.0, 1e-12);
}

TEST(Marble, LeavesOutGradientsThatAreNone) {
  const double nan = std::nan("");
  for (const auto& gone : {std::vector<double>{0, 0}, std::vector<double>{nan, 1}}) {
    Way way("marble", Json::object(), kAlike);
    way.expect_direction({gone, {3, 4}}, {3, 4});
    EXPECT_EQ(number(way.metrics, "dropped_heads"), 1.0);
    EXPECT_EQ(number(way.metrics, "alpha_small/even"), 1.0);
  }
  Way way("marble", Json::object(), kAlike);
  EXPECT_TRUE(way.direction({{nan, 1}, {nan, 2}}).at("w").isnan()[0].item<bool>());  // the role skips it
  Metrics unused;
  EXPECT_TRUE(way.aggregator->direction({{}, {}}, unused).empty());  // an update without samples
}

TEST(Marble, AGroupIsOneHead) {
  const Json groups = Json::array({{{"name", "look"}, {"rewards", {"small/even", "small/bright"}}}});
  Way way("marble", {{"groups", groups}}, {{"bright", 3.0}, {"even", 1.0}});
  const auto heads = way.heads();
  ASSERT_EQ(heads.size(), 1u);
  way.expect_direction({{1, 2}}, {1, 2});
  // Advantages of (0,1) and of (0,4) over the batch's deviation: (-1, 1) both.
  EXPECT_TRUE(at::allclose(heads[0].advantage_B, at::tensor({-1.0, 1.0}, at::kDouble), 1e-3));
}

TEST(Marble, RefusesWhatDoesNotFitTheRewards) {
  const auto start = [](const Json& options, double even = 1.0) {
    return Way("marble", options, {{"bright", 1.0}, {"even", even}});
  };
  const auto group = [](const Json& rewards) {
    return Json{{"groups", Json::array({{{"name", "g"}, {"rewards", rewards}}})}};
  };
  EXPECT_ERROR(start({{"alpha_floor", 0.6}}), "/method/aggregation/alpha_floor");
  EXPECT_ERROR(start(group({"small/bight"})), "did you mean \"small/bright\"");
  EXPECT_ERROR(start(group({"small/bright", "small/bright"})), "/method/aggregation/groups/0/rewards/1");
  EXPECT_ERROR(start(group({"small/even"}), 0.0), "no trained reward is named \"small/even\"");
  EXPECT_ERROR(start(group(Json::array())), "/method/aggregation/groups/0/rewards");
  EXPECT_ERROR(start({{"alpha_scale", "both"}}), "/method/aggregation/alpha_scale");
  EXPECT_ERROR(start({{"every", 0}}), "/method/aggregation/every");
}

// I / mean |g|^2 of (1,0), (0,2): 1/2.5, 4/2.5; weights 1/2 e^{0.5 I}, and the direction is their sum.
TEST(GradientWeights, MoveAlongTheInfluence) {
  Way way("gradient_weights", {{"rate", 0.5}}, kAlike);
  const double a = std::exp(0.5 * 0.4), b = std::exp(0.5 * 1.6);
  way.expect_direction({{1, 0}, {0, 2}}, {a / (a + b), 2 * b / (a + b)});
  EXPECT_NEAR(number(way.metrics, "alpha_small/bright"), a / (a + b), 1e-12);
  EXPECT_EQ(way.heads().size(), 2u);
  Way averaged("gradient_weights", {{"rate", 0.5}, {"average", 2}}, kAlike);
  averaged.expect_direction({{1, 0}, {0, 2}}, {0.5, 1.0});  // not yet
  averaged.direction({{1, 0}, {0, 2}});
  EXPECT_NEAR(number(averaged.metrics, "alpha_small/bright"), a / (a + b), 1e-12);
  EXPECT_ERROR(Way("gradient_weights", {{"weight_floor", 0.6}}, kAlike), "/method/aggregation/weight_floor");
}

}  // namespace
}  // namespace thalweg
