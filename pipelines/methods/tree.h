// The transition loop over trees: samples share prefixes, each transition is drawn once and replayed once,
// and has the advantage of the node that it leads to.
#pragma once

#include "pipelines/methods/method.h"
#include "pipelines/methods/reference_kl.h"
#include "pipelines/methods/tree_edges.h"

namespace thalweg {

/// What a method makes of an iteration.
struct TreeRules {
  TreeShape shape;
  std::vector<int64_t> trained;  // steps whose transitions are replayed
  /// Nodes whose rewards are compared have the same number.
  std::function<int64_t(const TreeEdge&)> compared;
  /// Of the policy loss of a step; 1 where empty.
  std::function<double(int64_t step)> weight = {};
  /// Leaves whose own transitions are replayed, those from step `own_from` on; empty: of all.
  std::function<std::vector<bool>(const Trees&)> kept_leaves = {};
  int64_t own_from = 0;  // after the last split
};

/// Keys of every method that trains on trees.
struct TreeOptions {
  GroupPlan groups;
  AdvantageOptions advantages;
  ReplayOptions replay;
  double clip_range = 1e-4;
  ReferenceOptions reference = {};
};
void describe(Fields& fields, TreeOptions& options);

/// A run of iterations by `rules`: trees -> scores of leaves -> means of nodes -> advantages of nodes ->
/// clipped policy loss of the transitions to them. A node without a scored leaf is not trained.
std::unique_ptr<MethodRun> start_tree_run(Training& training, const TreeOptions& options,
                                          std::function<TreeRules(int64_t iteration)> rules);

/// A method whose options hold `tree` and say the `rules` of an iteration: what is left is to describe and to
/// check.
template <typename Derived, typename Options>
class TreeMethodOf : public Cloneable<Derived, Method> {
 public:
  GroupPlan& groups() override { return o_.tree.groups; }
  std::optional<double> clip_range() const override { return o_.tree.clip_range; }
  std::unique_ptr<MethodRun> start(Training& training) const override {
    return start_tree_run(training, o_.tree,
                          [o = o_, &training](int64_t iteration) { return o.rules(training, iteration); });
  }

 protected:
  Options o_;
};

/// Throws Error for what no tree can do: see check_replay, check_reference; a shorter tail.
void check_tree(const TreeOptions& options, const SamplerSection& sampler, const std::string& method);

}  // namespace thalweg
