// Methods that train on trees, on v(x) = a x + b, whose gradients can be followed.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/advantages/tree.h"
#include "pipelines/methods/tree.h"
#include "pipelines/plan/method_count.h"
#include "tests/io/scratch.h"
#include "tests/methods/methods.h"

namespace thalweg {
namespace {

constexpr int64_t kSteps = 4;  // of which three are trained

Json one_group(Json more = Json::object()) {
  Json settings = {{"prompts_per_iteration", 1}, {"group_size", 4}, {"updates", 1}};
  settings.update(more);
  return settings;
}

// Splits at steps 0 and 1: one root, 1 + 2 + 4 + 4 states.
Json splits(Json more = Json::object()) {
  Json settings = one_group({{"split", {{"every", 1}}}});
  settings.update(more);
  return settings;
}

// Steps 0 and 1, two branches each: 1 + 3 + 4 + 4 states.
Json branches(Json more = Json::object()) {
  Json settings = one_group({{"branches", 2}});
  settings.update(more);
  return settings;
}

struct Iteration {
  Metrics metrics;
  std::set<double> trained_sigmas;
};

Iteration iterate(
    const std::string& name, const Json& settings, int64_t iteration = 0,
    const std::function<bool(uint64_t)>& fails = [](uint64_t) { return false; }) {
  SmallTraining small(0.5, fails, stochastic());
  const auto method = method_named(name, settings);
  method->check(small.options);
  const auto run = method->start(small.training);
  Iteration result{run->iterate(iteration), {}};
  for (const auto& sigmas : dynamic_cast<const SmallModel&>(*small.training.model).trained_sigmas)
    result.trained_sigmas.insert(sigmas.begin(), sigmas.end());
  return result;
}

MethodCount counted(const std::string& name, const Json& settings) {
  return count_method(*method_named(name, settings), stochastic(), 0,
                      [](int64_t steps) { return linear_schedule(steps); });
}

TEST(TreeCost, IsLessThanThatOfItsLeaves) {
  EXPECT_EQ(number(iterate("branch_grpo", splits()).metrics, "network_evaluations"), 11.0 / 4.0);
  EXPECT_EQ(number(iterate("tempflow_grpo", branches()).metrics, "network_evaluations"), 12.0 / 4.0);
  EXPECT_EQ(counted("flow_grpo", one_group()).forwards_of_rollout, kSteps);
  EXPECT_EQ(counted("branch_grpo", splits()).forwards_of_rollout, 11.0 / 4.0);
  EXPECT_EQ(counted("tempflow_grpo", branches()).forwards_of_rollout, 12.0 / 4.0);
}

// States before trained steps are replayed once, whatever the number of their children.
TEST(TreeCost, OfTheReplayIsThatOfItsStates) {
  auto count = counted("branch_grpo", splits());
  EXPECT_EQ(count.forwards_with_gradient, (1.0 + 2.0 + 4.0) / 4.0);
  EXPECT_EQ(count.stored_latents, 1.0 + 2.0 * (2.0 + 4.0 + 4.0) / 4.0);
  count = counted("branch_grpo", splits({{"kl_beta", 0.1}}));
  EXPECT_EQ(count.forwards_without, (1.0 + 2.0 + 4.0) / 4.0);
  count = counted("tempflow_grpo", branches());
  EXPECT_EQ(count.forwards_with_gradient, 2.0 / 4.0);
  EXPECT_EQ(count.stored_latents, 1.0 + 2.0 * 4.0 / 4.0);
  EXPECT_EQ(number(iterate("branch_grpo", splits()).metrics, "replayed_transitions"), 10.0);
}

// By hand: the same tree, the mean of the leaves of a node, depth by depth, and -A grad log p at ratio 1.
double gradient_norm(const TreeShape& shape, const std::vector<int64_t>& trained, const GroupNorm& norm,
                     const std::vector<double>& weight_T) {
  SmallTraining small(
      0.5, [](uint64_t) { return false; }, stochastic());
  auto& t = small.training;
  const auto kernel = kernel_of(t.options.sampler, {0, kSteps});
  const auto x = normal_noise(t.seed(), Purpose::initial_noise, {0}, 0, t.shape.sizes(), at::kDouble);
  TreeSamples tree;
  {
    c10::NoGradGuard no_grad;
    tree = sample_tree({t.policy.velocity(), t.schedule, {{""}, {}}, x, {0}, t.seed()}, shape, kernel,
                       trained, gaussian);
  }
  const auto bright_B = t.model->decode(tree.x0_BCFHW).flatten(1).mean(1);
  const auto reward_B = bright_B.to(at::kDouble) + 0.5 * (1.0 - bright_B).to(at::kDouble);
  const auto a = at::full({1}, 0.5, at::kDouble).requires_grad_(),
             b = at::full({1}, 0.1, at::kDouble).requires_grad_();
  at::Tensor loss = at::zeros({}, at::kDouble);
  int64_t edges = 0;
  for (size_t k = 0; k < trained.size(); ++k) {
    const auto noisy = shape.noisy(trained[k]);
    std::vector<int64_t> node_B;
    for (const int64_t node : shape.above_leaves(trained[k])) {
      const auto found = std::find(noisy.begin(), noisy.end(), node);
      node_B.push_back(found == noisy.end() ? -1 : found - noisy.begin());
    }
    const auto nodes = static_cast<int64_t>(noisy.size());
    const auto worth = node_means(reward_B, at::ones_like(reward_B, at::kBool), node_B, nodes);
    const auto advantages = group_advantages(worth.values, worth.valid,
                                             std::vector<int64_t>(static_cast<size_t>(nodes), 0), norm);
    const auto& edge = tree.edges[k];
    const auto& from = edge.latents[0];
    const auto log_prob_B = log_prob(
        edge.next_latents[0], transition(from, a * from + b, kernel(t.schedule, trained[k])), gaussian);
    loss = loss - weight_T[k] * (advantages.values_B * log_prob_B).sum();
    edges += nodes;
  }
  (loss / static_cast<double>(edges)).backward();
  return std::hypot(a.grad().item<double>(), b.grad().item<double>());
}

TEST(BranchGrpo, GradientIsThatOfAHandTree) {
  const auto shape = split_tree(kSteps, {0, 1}, 2, 1.0, [](int64_t) { return true; });
  const double expected =
      gradient_norm(shape, {0, 1, 2}, {DeviationOver::group, 5.0, 1, 1e-8, 1e-6}, {1.0, 1.0, 1.0});
  EXPECT_GT(expected, 0.0);
  EXPECT_NEAR(number(iterate("branch_grpo", splits()).metrics, "grad_norm"), expected, 1e-6 * expected);
}

TEST(TempFlowGrpo, GradientIsThatOfAHandTreeWeighedByNoise) {
  const auto options = stochastic();
  const auto kernel = kernel_of(options.sampler, {0, kSteps});
  const auto schedule = linear_schedule(kSteps);
  const double first = kernel(schedule, 0).std, second = kernel(schedule, 1).std,
               mean = 0.5 * (first + second);
  const double expected = gradient_norm(branched_path(kSteps, {0, 1}, 2), {0, 1},
                                        {.deviation = DeviationOver::group}, {first / mean, second / mean});
  EXPECT_GT(expected, 0.0);
  EXPECT_NEAR(number(iterate("tempflow_grpo", branches()).metrics, "grad_norm"), expected, 1e-6 * expected);
}

TEST(BranchGrpo, ANodeWithoutAScoredLeafIsNotTrained) {
  const auto transitions = [](const std::set<uint64_t>& failed) {
    const auto metrics =
        iterate("branch_grpo", splits(), 0, [&](uint64_t id) { return failed.count(id) > 0; }).metrics;
    EXPECT_EQ(number(metrics, "masked_samples"), static_cast<double>(failed.size()));
    EXPECT_TRUE(std::isfinite(number(metrics, "grad_norm")));
    return number(metrics, "replayed_transitions");
  };
  EXPECT_EQ(transitions({3}), 2 + 3 + 3);     // its parent has another leaf
  EXPECT_EQ(transitions({2, 3}), 0 + 2 + 2);  // one node of depth 1 is left: nothing to compare it with
}

TEST(BranchGrpo, OneScoredLeafTeachesNothing) {
  SmallTraining small(
      0.5, [](uint64_t id) { return id > 0; }, stochastic());
  const auto method = method_named("branch_grpo", splits());
  const auto metrics = method->start(small.training)->iterate(0);
  EXPECT_EQ(number(metrics, "replayed_transitions"), 0.0);
  EXPECT_EQ(small.training.policy.steps(), 0);
}

TEST(BranchGrpo, PruningLeavesTransitionsOut) {
  const auto transitions = [](const Json& more) {
    return number(iterate("branch_grpo", splits(more)).metrics, "replayed_transitions");
  };
  EXPECT_EQ(transitions({{"width_pruning", {{"name", "best_child"}}}}), 2 + 4 + 2);
  EXPECT_EQ(transitions({{"width_pruning", {{"name", "extremes"}, {"share", 0.75}}}}), 2 + 4 + 3);
  EXPECT_EQ(transitions({{"depth_pruning", {{"begin", 1}, {"size", 1}}}}), 2 + 4);
}

// Noise levels 1, 3/4 and 1/2 are trained; the one split is at the first.
TEST(BranchGrpo, PrunedDepthsSlideToTheLastSplit) {
  const auto sigmas = [](int64_t iteration) {
    return iterate("branch_grpo",
                   one_group({{"split", {{"every", 3}}},
                              {"depth_pruning", {{"begin", 2}, {"size", 1}, {"slide", 5}}}}),
                   iteration)
        .trained_sigmas;
  };
  EXPECT_EQ(sigmas(4), (std::set<double>{1.0, 0.75}));
  EXPECT_EQ(sigmas(5), (std::set<double>{1.0, 0.5}));
  EXPECT_EQ(sigmas(100), (std::set<double>{1.0, 0.5}));
}

TEST(BranchGrpo, ANoisierSplitIsAnotherTree) {
  const auto one = iterate("branch_grpo", splits()).metrics;
  const auto four = iterate("branch_grpo", splits({{"split", {{"every", 1}, {"noise_scale", 4.0}}}})).metrics;
  EXPECT_NE(number(one, "reward"), number(four, "reward"));
  EXPECT_LT(number(four, "ratio_dev_first_step"), 1e-12);  // log-probs of both sides keep the sampler's noise
}

// Of two paths with two branches each, at one step.
TEST(TempFlowGrpo, ComparesTheBranchesOfOnePathOrOfAGroup) {
  const auto settings = branches({{"start_noises", 2}});
  auto of_group = settings;
  of_group["seed_groups"] = false;
  const auto one = iterate("tempflow_grpo", settings).metrics,
             all = iterate("tempflow_grpo", of_group).metrics;
  EXPECT_EQ(number(one, "reward"), number(all, "reward"));
  EXPECT_NE(number(one, "reward_std_mean"), number(all, "reward_std_mean"));
}

TEST(TreeMethods, RefuseWhatTheyCannotHonour) {
  const auto check = [](const std::string& name, const Json& settings, const TrainingOptions& options) {
    method_named(name, settings)->check(options);
  };
  const auto options = stochastic();
  check("branch_grpo", splits(), options);
  check("tempflow_grpo", branches(), options);
  EXPECT_ERROR(check("branch_grpo", one_group({{"group_size", 5}}), options), "/method/group_size");
  EXPECT_ERROR(check("branch_grpo", splits({{"split", {{"first", 3}}}}), options), "/method/split/first");
  EXPECT_ERROR(check("branch_grpo", splits({{"depth_pruning", {{"begin", 2}, {"size", 2}}}}), options),
               "/method/depth_pruning/size");
  EXPECT_ERROR(check("branch_grpo", splits({{"depth_pruning", {{"begin", 0}, {"size", 3}}}}), options),
               "/method/depth_pruning/size");
  EXPECT_ERROR(check("tempflow_grpo", branches({{"group_size", 5}}), options), "/method/group_size");
  EXPECT_ERROR(check("tempflow_grpo", branches({{"group_size", 8}}), options), "/method/group_size");
  auto moving = options;
  moving.sampler.window_size = 2;
  moving.sampler.window_policy = "random";  // its last place has one trained step
  EXPECT_ERROR(check("tempflow_grpo", branches(), moving), "/method/group_size");
  for (const char* name : {"branch_grpo", "tempflow_grpo"}) {
    auto tail = options;
    tail.sampler.window_size = 2;
    tail.sampler.tail_ratio = 0.5;
    EXPECT_ERROR(check(name, one_group(), tail), "/sampler/tail_ratio");
    auto quiet = options;
    quiet.sampler.kind = Chosen<SamplerKind>(sampler_table(), "flow_ode");
    EXPECT_ERROR(check(name, one_group(), quiet), "/sampler/name");
  }
}

}  // namespace
}  // namespace thalweg
