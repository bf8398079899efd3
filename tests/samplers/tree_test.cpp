// Trees of samples: which states there are, and that each branch is the sample it would be alone.
#include "samplers/tree.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "engine/models/sd3/sd3_schedule.h"
#include "samplers/kernels/flow_sde.h"
#include "samplers/transitions.h"
#include "tests/samplers/analytic.h"

namespace thalweg {
namespace {

constexpr int64_t kSteps = 4;
const std::vector<int64_t> kRoots = {40, 8};  // streams, at least four apart

bool always(int64_t) {
  return true;
}

SamplerInput roots(const std::vector<int64_t>& slots = kRoots) {
  return sampler_input(sd3_schedule(kSteps, 3.0), at::kDouble, slots);
}

std::vector<int64_t> parents(const TreeLevel& level) {
  std::vector<int64_t> result;
  for (const auto& node : level.nodes) result.push_back(node.parent);
  return result;
}

TEST(TreeShape, SplitsAtSomeSteps) {
  const auto shape = split_tree(kSteps, {0, 2}, 2, 3.0, [](int64_t step) { return step < 2; });
  EXPECT_EQ(shape.leaves(), 4);
  EXPECT_EQ(parents(shape.levels[2]), (std::vector<int64_t>{0, 0, 1, 1}));
  EXPECT_EQ(shape.noisy(1), (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(shape.noisy(2).size(), 4u);  // a split draws noise wherever it is
  EXPECT_TRUE(shape.noisy(3).empty());
  EXPECT_EQ(shape.levels[2].noise_scale, 3.0);
  EXPECT_EQ(shape.levels[1].noise_scale, 1.0);
  EXPECT_EQ(shape.above_leaves(0), (std::vector<int64_t>{0, 0, 1, 1}));
  EXPECT_EQ(shape.above_leaves(3), (std::vector<int64_t>{0, 1, 2, 3}));
  EXPECT_EQ(shape.evaluations(), 1 + 2 + 2 + 4);
  EXPECT_LT(shape.evaluations(), shape.leaves() * kSteps);
}

TEST(TreeShape, BranchesPartFromAPath) {
  const auto shape = branched_path(kSteps, {0, 2}, 2);
  EXPECT_EQ(parents(shape.levels[0]), (std::vector<int64_t>{0, 0, 0}));
  EXPECT_EQ(shape.noisy(0), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(parents(shape.levels[1]), (std::vector<int64_t>{0, 1, 2}));
  EXPECT_TRUE(shape.noisy(1).empty());
  EXPECT_EQ(parents(shape.levels[2]), (std::vector<int64_t>{0, 0, 1, 2}));  // here the path ends
  EXPECT_EQ(shape.noisy(2), (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(shape.leaves(), 4);
  EXPECT_EQ(shape.above_leaves(0), (std::vector<int64_t>{0, 0, 1, 2}));
  EXPECT_EQ(shape.evaluations(), 1 + 3 + 3 + 4);
}

TEST(Tree, WithoutSplitsIsASample) {
  const auto tree =
      sample_tree(roots(), split_tree(kSteps, {}, 2, 1.0, always), flow_sde(0.7), {0, 2}, gaussian);
  const auto alone = sample_transitions(roots(), flow_sde(0.7), {0, 2});
  EXPECT_TRUE(at::equal(tree.x0_BCFHW, alone.x0_BCFHW));
  ASSERT_EQ(tree.edges.size(), 2u);
  for (size_t k = 0; k < 2; ++k) {
    EXPECT_EQ(tree.edges[k].trained_steps, (std::vector<int64_t>{alone.trained_steps[k]}));
    EXPECT_TRUE(at::equal(tree.edges[k].latents[0], alone.latents[k]));
    EXPECT_TRUE(at::equal(tree.edges[k].next_latents[0], alone.next_latents[k]));
    EXPECT_TRUE(at::equal(tree.edges[k].log_probs_TB[0], alone.log_probs_TB[static_cast<int64_t>(k)]));
  }
}

TEST(Tree, SiblingsShareTheirPastAndNothingElse) {
  const auto tree =
      sample_tree(roots(), split_tree(kSteps, {1, 2}, 2, 1.0, always), flow_sde(0.7), {1, 2}, gaussian);
  const auto& last = tree.edges[1];
  ASSERT_EQ(last.latents[0].size(0), 8);
  const auto first_edges =
      tree.edges[0].next_latents[0].index_select(0, at::tensor({0, 0, 1, 1, 2, 2, 3, 3}));
  EXPECT_TRUE(at::equal(last.latents[0], first_edges));
  for (int64_t a = 0; a < 8; ++a)
    for (int64_t b = 0; b < a; ++b)
      EXPECT_GT((tree.x0_BCFHW[a] - tree.x0_BCFHW[b]).abs().max().item<double>(), 1e-3) << a << " " << b;
}

// Whatever is stored of an edge is what training computes again.
TEST(Tree, EdgesReplay) {
  const auto in = roots();
  const auto shape = split_tree(kSteps, {0}, 3, 2.0, always);
  const auto tree = sample_tree(in, shape, flow_sde(0.7), {0, 1}, gaussian);
  for (const auto& edge : tree.edges) {
    const auto step = edge.trained_steps[0];
    const auto kernel = flow_sde(0.7)(in.schedule, step);
    const auto v = analytic_velocity(edge.latents[0], step_at(in.schedule, step, std::vector<int64_t>(6, 0)),
                                     in.conditioning.select({0, 0, 0, 1, 1, 1}));
    const auto there = transition(edge.latents[0], v, kernel);
    EXPECT_TRUE(
        at::allclose(log_prob(edge.next_latents[0], there, gaussian), edge.log_probs_TB[0], 0.0, 1e-12));
    // Noise of a split is twice the kernel's, and drawn by stream and step.
    const auto drawn = (edge.next_latents[0] - there.mean_BCFHW) / there.std;
    const auto noise = normal_noise(in.seed, Purpose::transition, {40, 41, 42, 8, 9, 10},
                                    static_cast<uint64_t>(step), {2, 1, 3, 3}, at::kDouble);
    EXPECT_TRUE(at::allclose(drawn, noise * (step == 0 ? 2.0 : 1.0), 0.0, 1e-9)) << step;
  }
}

TEST(Tree, BranchesOfAPathEndByTheOde) {
  const auto in = roots({16});
  const auto tree = sample_tree(in, branched_path(kSteps, {0, 2}, 2), flow_sde(0.7), {0, 2}, gaussian);
  ASSERT_EQ(tree.x0_BCFHW.size(0), 4);
  auto x = in.x_BCFHW;
  for (int64_t i = 0; i < 2; ++i)
    x = transition(x, analytic_velocity(x, step_at(in.schedule, i, {16}), in.conditioning),
                   euler(in.schedule, i))
            .mean_BCFHW;
  EXPECT_TRUE(at::allclose(tree.edges[1].latents[0][0], x[0], 0.0, 1e-12));
  const auto ended = [&](at::Tensor state, int64_t from) {
    for (int64_t i = from; i < kSteps; ++i)
      state = transition(
                  state,
                  analytic_velocity(state, step_at(in.schedule, i, {16, 16}), in.conditioning.select({0, 0})),
                  euler(in.schedule, i))
                  .mean_BCFHW;
    return state;
  };
  // Leaves: the branches of the last step, which came in the place of the path, then those of the first.
  EXPECT_TRUE(
      at::allclose(tree.x0_BCFHW.slice(0, 0, 2), ended(tree.edges[1].next_latents[0], 3), 0.0, 1e-12));
  EXPECT_TRUE(
      at::allclose(tree.x0_BCFHW.slice(0, 2, 4), ended(tree.edges[0].next_latents[0], 1), 0.0, 1e-12));
}

TEST(Tree, DoesNotDependOnItsNeighbours) {
  const auto shape = split_tree(kSteps, {0, 1}, 2, 1.0, always);
  const auto both = sample_tree(roots(), shape, flow_sde(0.7), {1}, gaussian);
  for (size_t i = 0; i < 2; ++i) {
    const auto alone = sample_tree(roots({kRoots[i]}), shape, flow_sde(0.7), {1}, gaussian);
    const auto begin = static_cast<int64_t>(i) * 4;
    EXPECT_TRUE(at::equal(alone.x0_BCFHW, both.x0_BCFHW.slice(0, begin, begin + 4)));
    EXPECT_TRUE(
        at::equal(alone.edges[0].next_latents[0], both.edges[0].next_latents[0].slice(0, begin, begin + 4)));
  }
}

TEST(Tree, SharedStatesAreAskedForOnce) {
  const auto shape = split_tree(kSteps, {0, 1}, 2, 1.0, always);
  const auto tree = sample_tree(roots(), shape, flow_sde(0.7), {0, 1, 2}, gaussian);
  std::vector<int64_t> asked;
  const auto shared = at_shared_states(
      [&](const at::Tensor& x, const Step& step, const Conditioning& c) {
        asked.push_back(x.size(0));
        EXPECT_EQ(step.sigma_B.size(0), x.size(0));
        EXPECT_EQ(static_cast<int64_t>(step.slot_B.size()), x.size(0));
        EXPECT_EQ(c.batch(), x.size(0));
        return analytic_velocity(x, step, c);
      },
      shape);
  const auto in = roots();
  const std::vector<std::vector<int64_t>> nodes = {
      {40, 41, 8, 9}, {40, 41, 42, 43, 8, 9, 10, 11}, {40, 41, 42, 43, 8, 9, 10, 11}};
  for (size_t k = 0; k < 3; ++k) {
    std::vector<int64_t> tree_of;
    for (const int64_t slot : nodes[k]) tree_of.push_back(slot < 40);
    const auto step = step_at(in.schedule, static_cast<int64_t>(k), nodes[k]);
    const auto c = in.conditioning.select(tree_of);
    const auto& x = tree.edges[k].latents[0];
    EXPECT_TRUE(at::allclose(shared(x, step, c), analytic_velocity(x, step, c), 0.0, 1e-13)) << k;
  }
  EXPECT_EQ(asked, (std::vector<int64_t>{2, 4, 8}));
}

}  // namespace
}  // namespace thalweg
