// BranchGRPO (Li et al. 2025, arXiv 2509.06040): a rollout is a tree that splits at some steps of the SDE;
// the rewards of its leaves are averaged up the tree, compared depth by depth, and each transition is trained
// with the advantage of the node that it leads to. Pruning saves backward passes alone: every leaf is drawn.
#include <algorithm>

#include "engine/advantages/tree.h"
#include "engine/core/error.h"
#include "pipelines/methods/tree.h"

namespace thalweg {
namespace {

struct Options {
  // The paper's: 16 leaves, the deviation of one sample less, 0 where it is below 1e-6.
  TreeOptions tree{.groups = {8, 16, 2},
                   .advantages = {.norm = {DeviationOver::group, 5.0, /*ddof=*/1, 1e-8, /*least=*/1e-6}},
                   .replay = {},
                   .clip_range = 1e-3};
  int64_t split_first = 0, split_every = 3, children = 2;
  double split_noise_scale = 1.0;
  int64_t pruned_begin = 0, pruned_size = 0, pruned_slide = 0;
  std::string width_pruning = "none";
  double kept_share = 0.5;

  std::vector<int64_t> splits(int64_t steps) const {
    std::vector<int64_t> result;
    int64_t left = tree.groups.group_size;
    for (int64_t step = split_first; step < steps - 1 && left % children == 0; step += split_every) {
      result.push_back(step);
      left /= children;
    }
    return result;
  }
  TreeRules rules(const Training& training, int64_t iteration) const;
};

// Depth pruning: a window of steps that moves towards the last split, a step every `slide` iterations.
bool is_pruned(const Options& o, int64_t step, int64_t last_split, int64_t iteration) {
  int64_t begin = o.pruned_begin;
  if (o.pruned_slide > 0)
    begin = std::max(std::min(begin, last_split + 1), begin - iteration / o.pruned_slide);
  return step >= begin && step < begin + o.pruned_size;
}

std::vector<bool> kept_leaves(const Options& o, const Trees& trees, int64_t last_split) {
  const auto& total = trees.scores.total;
  if (o.width_pruning == "extremes")
    return extreme_leaves(total.total_B, total.valid_B, trees.scores.group_B, o.kept_share);
  const auto above = trees.shape.above_leaves(last_split);
  const auto& nodes = trees.shape.levels[static_cast<size_t>(last_split)].nodes;
  std::vector<int64_t> parent_B;
  for (int64_t root = 0; root < trees.roots(); ++root)
    for (const int64_t node : above)
      parent_B.push_back(root * trees.shape.leaves() + nodes[static_cast<size_t>(node)].parent);
  return best_children(total.total_B, total.valid_B, parent_B);
}

TreeRules rules_of(const Options& o, const SamplerSection& sampler, StepWindow window, int64_t iteration) {
  const auto splits = o.splits(sampler.steps);
  TreeRules rules{.shape = split_tree(sampler.steps, splits, o.children, o.split_noise_scale,
                                      [&](int64_t step) { return window.contains(step); }),
                  .trained = {},
                  .compared = [steps = sampler.steps](const TreeEdge& e) { return e.group * steps + e.step; },
                  .own_from = splits.back() + 1};
  for (int64_t step = 0; step < sampler.steps - 1; ++step)
    if (!rules.shape.noisy(step).empty() && !is_pruned(o, step, splits.back(), iteration))
      rules.trained.push_back(step);
  if (o.width_pruning != "none")
    rules.kept_leaves = [&o, last = splits.back()](const Trees& trees) {
      return kept_leaves(o, trees, last);
    };
  return rules;
}

TreeRules Options::rules(const Training& t, int64_t iteration) const {
  const auto& sampler = t.options.sampler;
  return rules_of(*this, sampler, step_window(sampler, t.seed(), iteration), iteration);
}

class BranchGrpo final : public TreeMethodOf<BranchGrpo, Options> {
 public:
  void describe(Fields& f) override {
    thalweg::describe(f, o_.tree);
    f.object({"split",
              "steps at which every state of a tree gets children: first, first + every and so on, until a "
              "group has group_size leaves; what is left of it are start noises"},
             [&](Fields& s) {
               s.integer({"first", "step"}, o_.split_first, 0, 999);
               s.integer({"every", "steps from one split to the next"}, o_.split_every, 1, 999);
               s.integer({"children", "of a state"}, o_.children, 2, 64);
               s.number({"noise_scale",
                         "noise of a split, in units of the sampler's. Log-probs keep the sampler's: another "
                         "scale than 1 draws what the policy would not (the paper's code: 4, with the little "
                         "noise of dance_sde)"},
                        o_.split_noise_scale, 0.01, 100.0);
             });
    f.object({"depth_pruning", "steps that are drawn with noise but not trained"}, [&](Fields& p) {
      p.integer({"begin", "first of them"}, o_.pruned_begin, 0, 999);
      p.integer({"size", "how many; 0: none"}, o_.pruned_size, 0, 1000);
      p.integer({"slide", "iterations after which they move one step towards the last split; 0: they stay"},
                o_.pruned_slide, 0, 1000000);
    });
    f.object(
        {"width_pruning", "leaves whose own steps, those after the last split, are trained"}, [&](Fields& p) {
          p.variant(
              {"name", "which"}, o_.width_pruning,
              {{"none", "all", [](Fields&) {}},
               {"best_child", "of the children of a state the best", [](Fields&) {}},
               {"extremes", "the best and the worst of a group", [&](Fields& e) {
                  e.number({"share", "of the leaves, both together; two at least"}, o_.kept_share, 0.01, 1.0);
                }}});
        });
  }

  void check(const TrainingOptions& options) const override {
    const auto& sampler = options.sampler;
    check_tree(o_.tree, sampler, "branch_grpo");
    if (o_.tree.groups.group_size % o_.children != 0)
      throw Error("/method/group_size",
                  "must be a multiple of /method/split/children, " + std::to_string(o_.children));
    if (o_.split_first >= sampler.steps - 1)
      throw Error("/method/split/first", "is never trained; it must be below " +
                                             std::to_string(sampler.steps - 1) + ", the last step");
    if (o_.pruned_size > 0 && o_.pruned_begin + o_.pruned_size > sampler.steps - 1)
      throw Error("/method/depth_pruning/size", "reaches beyond the trained steps: at most " +
                                                    std::to_string(sampler.steps - 1 - o_.pruned_begin) +
                                                    " from step " + std::to_string(o_.pruned_begin));
    if (rules_of(o_, sampler, step_window(sampler, 0, 0), 0).trained.empty())
      throw Error("/method/depth_pruning/size", "leaves no step to train");
  }
};

}  // namespace

std::unique_ptr<Method> make_branch_grpo() {
  return std::make_unique<BranchGrpo>();
}

}  // namespace thalweg
