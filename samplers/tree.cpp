#include "samplers/tree.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "engine/core/device.h"
#include "engine/core/rng.h"
#include "samplers/transitions.h"

namespace thalweg {
namespace {

// States of all trees before a step, tree after tree.
struct States {
  at::Tensor x_BCFHW;
  std::vector<int64_t> root_B, slot_B;
  Conditioning conditioning;
};

at::Tensor rows_of(const at::Tensor& x, const std::vector<int64_t>& rows) {
  std::vector<int64_t> all(static_cast<size_t>(x.size(0)));
  std::iota(all.begin(), all.end(), 0);
  return rows == all ? x : x.index_select(0, on_device(at::tensor(rows, at::kLong), x.device()));
}

// Children of one kind: which row of the next states each is, and which of these states it comes from.
struct Children {
  std::vector<int64_t> row_B, parent_B, slot_B;
};

Children children(const States& states, const TreeShape& shape, int64_t step, int64_t roots, bool noise) {
  const auto& nodes = shape.levels[static_cast<size_t>(step)].nodes;
  const auto width = static_cast<int64_t>(nodes.size()), above = shape.states(step);
  Children result;
  for (int64_t root = 0; root < roots; ++root)
    for (int64_t j = 0; j < width; ++j) {
      const auto& node = nodes[static_cast<size_t>(j)];
      if (node.noise != noise) continue;
      result.row_B.push_back(root * width + j);
      result.parent_B.push_back(root * above + node.parent);
      result.slot_B.push_back(states.slot_B[static_cast<size_t>(root * above)] + j);
    }
  return result;
}

// `form`: of a trained step.
DrawnState drawn_with_noise(const SamplerInput& in, const at::Tensor& x, const at::Tensor& v,
                            const Step& step, const std::vector<int64_t>& slot_B, double scale,
                            LogProb form) {
  TORCH_CHECK(!form || step.kernel.std > 0.0, "step ", step.index,
              " draws no noise: it has no log-probability");
  if (step.kernel.std == 0.0) return {transition(x, v, step.kernel).mean_BCFHW, {}};  // to noise level 0
  auto noise = transition_noise(in.seed, slot_B, x, step);
  if (scale != 1.0) noise = noise * scale;
  return drawn_state(x, v, noise, step.kernel, form);
}

Trajectory edge(const Schedule& schedule, int64_t step, const at::Tensor& x, const DrawnState& drawn) {
  return {schedule, {}, {step}, {x}, {drawn.next_BCFHW}, drawn.log_prob_B.unsqueeze(0)};
}

// All children in the order of their rows.
at::Tensor joined(const at::Tensor& noisy, const Children& with, const at::Tensor& quiet,
                  const Children& without) {
  if (without.row_B.empty()) return noisy;
  if (with.row_B.empty()) return quiet;
  std::vector<int64_t> place(with.row_B.size() + without.row_B.size());
  int64_t at = 0;
  for (const auto* rows : {&with.row_B, &without.row_B})
    for (const int64_t row : *rows) place[static_cast<size_t>(row)] = at++;
  return rows_of(at::cat({noisy, quiet}), place);
}

void move_on(States& states, const SamplerInput& in, at::Tensor x, int64_t width) {
  const auto roots = static_cast<int64_t>(in.slot_B.size());
  states.x_BCFHW = std::move(x);
  if (static_cast<int64_t>(states.root_B.size()) == roots * width) return;  // the same nodes, a step on
  states.root_B.clear();
  states.slot_B.clear();
  for (int64_t root = 0; root < roots; ++root)
    for (int64_t j = 0; j < width; ++j) {
      states.root_B.push_back(root);
      states.slot_B.push_back(in.slot_B[static_cast<size_t>(root)] + j);
    }
  states.conditioning = in.conditioning.select(states.root_B);
}

}  // namespace

int64_t TreeShape::states(int64_t step) const {
  return step == 0 ? 1 : static_cast<int64_t>(levels[static_cast<size_t>(step) - 1].nodes.size());
}

int64_t TreeShape::evaluations() const {
  int64_t count = 0;
  for (int64_t step = 0; step < static_cast<int64_t>(levels.size()); ++step) count += states(step);
  return count;
}

std::vector<int64_t> TreeShape::noisy(int64_t step) const {
  std::vector<int64_t> result;
  const auto& nodes = levels[static_cast<size_t>(step)].nodes;
  for (size_t j = 0; j < nodes.size(); ++j)
    if (nodes[j].noise) result.push_back(static_cast<int64_t>(j));
  return result;
}

std::vector<int64_t> TreeShape::above_leaves(int64_t step) const {
  std::vector<int64_t> above(static_cast<size_t>(leaves()));
  std::iota(above.begin(), above.end(), 0);
  for (auto level = levels.size() - 1; level > static_cast<size_t>(step); --level)
    for (auto& node : above) node = levels[level].nodes[static_cast<size_t>(node)].parent;
  return above;
}

TreeShape split_tree(int64_t steps, const std::vector<int64_t>& splits, int64_t children,
                     double split_noise_scale, const std::function<bool(int64_t)>& noise) {
  TreeShape shape;
  for (int64_t step = 0; step < steps; ++step) {
    const bool splits_here = std::binary_search(splits.begin(), splits.end(), step);
    const auto above = shape.states(step);
    TreeLevel level;
    if (splits_here) level.noise_scale = split_noise_scale;
    for (int64_t parent = 0; parent < above; ++parent)
      for (int64_t child = 0; child < (splits_here ? children : 1); ++child)
        level.nodes.push_back({parent, splits_here || noise(step)});
    shape.levels.push_back(std::move(level));
  }
  return shape;
}

TreeShape branched_path(int64_t steps, const std::vector<int64_t>& branched, int64_t branches) {
  TORCH_CHECK(!branched.empty() && branched.back() < steps, "a path must branch");
  TreeShape shape;
  for (int64_t step = 0; step < steps; ++step) {
    const auto above = shape.states(step);
    const bool path_before = step <= branched.back(), path_after = step < branched.back();
    TreeLevel level;
    if (path_after) level.nodes.push_back({0, false});  // the path stays node 0
    if (std::binary_search(branched.begin(), branched.end(), step))
      for (int64_t branch = 0; branch < branches; ++branch) level.nodes.push_back({0, true});
    for (int64_t node = path_before ? 1 : 0; node < above; ++node) level.nodes.push_back({node, false});
    shape.levels.push_back(std::move(level));
  }
  return shape;
}

TreeSamples sample_tree(const SamplerInput& in, const TreeShape& shape, const Kernel& kernel,
                        const std::vector<int64_t>& trained_steps, LogProb form) {
  TORCH_CHECK(static_cast<int64_t>(shape.levels.size()) == in.schedule.steps(), "one level a step");
  const auto roots = static_cast<int64_t>(in.slot_B.size());
  TreeSamples samples;
  States states;
  move_on(states, in, in.x_BCFHW, 1);
  for (int64_t i = 0; i < in.schedule.steps(); ++i) {
    const auto& level = shape.levels[static_cast<size_t>(i)];
    const auto width = static_cast<int64_t>(level.nodes.size());
    TORCH_CHECK(width >= shape.states(i), "a level is narrower than the one above");
    const auto with = children(states, shape, i, roots, true),
               without = children(states, shape, i, roots, false);
    auto step = step_of(kernel, in.schedule, i, states.slot_B, states.x_BCFHW.device());
    const auto noisy_step = step.kernel;
    if (with.row_B.empty()) step.kernel = euler(in.schedule, i);
    const auto v = in.velocity(states.x_BCFHW, step, states.conditioning);
    at::Tensor noisy, quiet;
    if (!with.row_B.empty()) {
      const bool trained = std::binary_search(trained_steps.begin(), trained_steps.end(), i);
      const auto from = rows_of(states.x_BCFHW, with.parent_B);
      step.kernel = noisy_step;
      const auto drawn = drawn_with_noise(in, from, rows_of(v, with.parent_B), step, with.slot_B,
                                          level.noise_scale, trained ? form : nullptr);
      if (trained) samples.edges.push_back(edge(in.schedule, i, from, drawn));
      noisy = drawn.next_BCFHW;
    }
    if (!without.row_B.empty())
      quiet = transition(rows_of(states.x_BCFHW, without.parent_B), rows_of(v, without.parent_B),
                         euler(in.schedule, i))
                  .mean_BCFHW;
    move_on(states, in, joined(noisy, with, quiet, without), width);
  }
  samples.x0_BCFHW = states.x_BCFHW;
  return samples;
}

Velocity at_shared_states(Velocity velocity, TreeShape shape) {
  return [velocity = std::move(velocity), shape = std::move(shape)](const at::Tensor& x, const Step& step,
                                                                    const Conditioning& conditioning) {
    const auto& nodes = shape.levels[static_cast<size_t>(step.index)].nodes;
    Step of_states = step;
    of_states.slot_B.clear();
    std::vector<int64_t> first_S, state_B;
    for (const int64_t slot : step.slot_B) {
      const int64_t node = slot % shape.leaves();
      const int64_t state = slot - node + nodes[static_cast<size_t>(node)].parent;
      if (of_states.slot_B.empty() || of_states.slot_B.back() != state) {
        of_states.slot_B.push_back(state);
        first_S.push_back(static_cast<int64_t>(state_B.size()));
      }
      state_B.push_back(static_cast<int64_t>(of_states.slot_B.size()) - 1);
    }
    const auto states = static_cast<int64_t>(first_S.size());
    if (states == x.size(0)) return velocity(x, step, conditioning);
    of_states.sigma_B = step.sigma_B.slice(0, 0, states);
    of_states.next_sigma_B = step.next_sigma_B.slice(0, 0, states);
    return rows_of(velocity(rows_of(x, first_S), of_states, conditioning.select(first_S)), state_B);
  };
}

}  // namespace thalweg
