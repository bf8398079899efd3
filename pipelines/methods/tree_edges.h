// Trees of a rollout, and their transitions as rows that are trained on: which there are, what they are
// worth, in micro-batches.
#pragma once

#include "pipelines/training/selection.h"
#include "samplers/tree.h"

namespace thalweg {

/// Trees of a rollout. A group has GroupPlan::group_size leaves, from one start noise or several.
struct Trees {
  TreeShape shape;
  std::vector<int64_t> trained;  // steps, ascending
  GroupPlan plan;                // of the leaves
  std::vector<MicroBatch> leaves;
  Scores scores;                               // of the leaves
  int64_t first_slot = 0;                      // of the leaves
  std::vector<std::vector<Trajectory>> edges;  // of each micro-batch of leaves: see edges_from

  /// Of the micro-batch whose first leaf has that slot. Roots may come in any order.
  std::vector<Trajectory>& edges_from(int64_t slot) {
    return edges[static_cast<size_t>((slot - first_slot) / shape.leaves())];
  }

  int64_t roots_per_group() const { return plan.group_size / shape.leaves(); }
  int64_t roots() const { return plan.groups * roots_per_group(); }
};

/// A transition with noise of a trained step.
struct TreeEdge {
  int64_t step = 0;             // of the schedule
  int64_t root = 0, group = 0;  // of the rollout
  int64_t node = 0;             // that it leads to, in its level
};

/// All edges of the trained steps: step by step, tree after tree.
std::vector<TreeEdge> edges_of(const Trees& trees);

/// Of the nodes that the edges lead to, which stand for samples here: every reward the mean of the leaves
/// below it, so that any aggregation can work on them. Groups are those of `compared`.
Scores node_scores(const Trees& trees, const std::vector<TreeEdge>& edges,
                   const std::function<int64_t(const TreeEdge&)>& compared);

/// Those edges that `replayed` says, as micro-batches of one step and one update each. The edges of at most
/// `micro_batch` states are in one, and those of one state together: they share a forward. Takes the
/// transitions out of `trees`, so that they are not held twice.
Selection gather_edges(Trees& trees, const std::vector<TreeEdge>& edges, const std::vector<bool>& replayed,
                       int64_t micro_batch);

}  // namespace thalweg
