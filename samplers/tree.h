// Samples that share prefixes: a tree of states, each of which asks the network once however many children it
// has (BranchGRPO, Li et al. 2025, arXiv 2509.06040; TempFlow-GRPO, He et al. 2025, arXiv 2508.04324).
#pragma once

#include "samplers/kernel.h"
#include "samplers/sampler.h"

namespace thalweg {

/// A state below the root.
struct TreeNode {
  int64_t parent = 0;  // index in the level above
  bool noise = true;   // drawn by the kernel; else the ODE's step
};

/// What one step makes of the states before it.
struct TreeLevel {
  std::vector<TreeNode> nodes;  // parents ascending, so that the leaves below a node stand together
  double noise_scale = 1.0;     // noise is drawn this many times the kernel's std; log-probs keep its std
};

/// The same for every tree of a rollout. Levels never have fewer nodes than the one above.
struct TreeShape {
  std::vector<TreeLevel> levels;  // one a step

  int64_t leaves() const { return static_cast<int64_t>(levels.back().nodes.size()); }
  /// States before step `step`: the root alone before the first.
  int64_t states(int64_t step) const;
  /// Network evaluations of one tree.
  int64_t evaluations() const;
  /// Nodes of step `step` that were drawn with noise.
  std::vector<int64_t> noisy(int64_t step) const;
  /// The node of step `step` above each leaf; the leaf itself after the last split.
  std::vector<int64_t> above_leaves(int64_t step) const;
};

/// BranchGRPO's: every state has one child, at the ascending steps `splits` `children` of them. Noise in
/// splits, `split_noise_scale` times the kernel's, and in the steps where `noise` says so.
TreeShape split_tree(int64_t steps, const std::vector<int64_t>& splits, int64_t children,
                     double split_noise_scale, const std::function<bool(int64_t step)>& noise);

/// TempFlow-GRPO's: the ODE's path from the root, from which `branches` states part with noise at each of the
/// ascending steps `branched`, and end by the ODE. After the last of them the path itself ends.
TreeShape branched_path(int64_t steps, const std::vector<int64_t>& branched, int64_t branches);

struct TreeSamples {
  at::Tensor x0_BCFHW;  // the leaves, tree after tree
  /// Transitions with noise of each trained step, as a trajectory of that step alone without x0. Row r leads
  /// to the node noisy(step)[r mod n] of tree r / n, where n = noisy(step).size().
  std::vector<Trajectory> edges;
};

/// One tree from each row of the input, keeping the transitions of `trained_steps` (ascending). Node j of a
/// level draws its noise from the stream slot + j of that step, where slot is its root's: slots of roots must
/// be at least leaves() apart.
TreeSamples sample_tree(const SamplerInput& roots, const TreeShape& shape, const Kernel& kernel,
                        const std::vector<int64_t>& trained_steps, LogProb form);

/// For rows that are nodes of step `Step::index` by their streams (see sample_tree): asks `velocity` once for
/// states that they share, which must stand together.
Velocity at_shared_states(Velocity velocity, TreeShape shape);

}  // namespace thalweg
