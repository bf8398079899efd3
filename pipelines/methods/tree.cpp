#include "pipelines/methods/tree.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "engine/advantages/tree.h"
#include "engine/core/error.h"
#include "engine/losses/grpo.h"
#include "pipelines/steering/cost.h"
#include "pipelines/training/selection.h"

namespace thalweg {
namespace {

// Roots are every leaves()-th row of what the rollout hands over.
SamplerInput roots_of(const SamplerInput& in, int64_t leaves) {
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < in.x_BCFHW.size(0); row += leaves) rows.push_back(row);
  SamplerInput roots = in;
  roots.x_BCFHW = in.x_BCFHW.slice(0, 0, {}, leaves).contiguous();
  roots.conditioning = in.conditioning.select(rows);
  roots.slot_B.clear();
  for (const int64_t row : rows) roots.slot_B.push_back(in.slot_B[static_cast<size_t>(row)]);
  return roots;
}

class TreeRun final : public MethodRun {
 public:
  TreeRun(Training& training, const TreeOptions& options, std::function<TreeRules(int64_t)> rules)
      : o_(options),
        t_(training),
        rules_(std::move(rules)),
        aggregator_(options.advantages.start(training)),
        reference_(options.reference, options.replay.kl_beta, training),
        kernel_(kernel_of(training.options.sampler, {0, training.options.sampler.steps})),
        form_(log_prob_of(training.options.sampler)) {}

  Metrics iterate(int64_t iteration) override {
    Metrics metrics;
    reference_.begin(metrics);
    const auto rules = rules_(iteration);
    auto trees = draw(iteration, rules, metrics);
    const auto edges = edges_of(trees);
    const auto advantages = aggregator_->advantages(node_scores(trees, edges, rules.compared), metrics);
    auto gathered = gather_edges(trees, edges, replayed(rules, trees, edges, advantages.used_B),
                                 t_.options.parallel.micro_batch);
    metrics.emplace_back("replayed_transitions", static_cast<double>(gathered.rows.size()));
    const Transitions transitions{std::move(gathered.batches), {}, kernel_};
    Replay replay{
        .options = o_.replay,
        .log_prob = form_,
        .loss = [&](const Replayed& r,
                    const Share&) { return clipped(r, rules.weight ? rules.weight(r.step.index) : 1.0); },
        .shared = [&](Velocity v) { return at_shared_states(std::move(v), rules.shape); }};
    replay.options.kl_beta = reference_.beta();
    if (replay.options.kl_beta > 0.0) replay.reference = reference_.velocity();
    train_on_transitions(t_, transitions, o_.groups, selected(advantages, gathered.rows), *aggregator_,
                         replay, iteration, metrics);
    reference_.end(metrics);
    return metrics;
  }

  void state(RunState& state) override {
    aggregator_->state(state);
    reference_.state(state);
  }

 private:
  Trees draw(int64_t iteration, const TreeRules& rules, Metrics& metrics) const {
    Trees trees{rules.shape, rules.trained, o_.groups, {}, {}, iteration * o_.groups.samples(), {}};
    const auto leaves = rules.shape.leaves();
    auto roots = o_.groups;
    roots.group_size = trees.roots_per_group();
    trees.edges.resize(static_cast<size_t>(trees.roots()));
    std::atomic<int64_t> evaluations = 0;
    const auto counted = [&, v = t_.policy.velocity()](const at::Tensor& x, const Step& step,
                                                       const Conditioning& c) {
      evaluations += x.size(0);
      return v(x, step, c);
    };
    trees.leaves = draw_groups(
        t_, iteration, roots, in_parts(t_.guided(counted), t_.options.parallel.micro_batch),
        [&](const SamplerInput& in) {
          auto samples = sample_tree(roots_of(in, leaves), rules.shape, kernel_, rules.trained, form_);
          trees.edges_from(in.slot_B.front()) = std::move(samples.edges);
          return Trajectory{in.schedule, samples.x0_BCFHW, {}, {}, {}, {}};
        },
        leaves);
    trees.scores = score(t_, trees.leaves, metrics);
    metrics.emplace_back("network_evaluations",
                         static_cast<double>(evaluations.load()) / static_cast<double>(o_.groups.samples()));
    return trees;
  }

  // By edge; the rest costs nothing.
  static std::vector<bool> replayed(const TreeRules& rules, const Trees& trees,
                                    const std::vector<TreeEdge>& edges, const at::Tensor& used_E) {
    const auto used = used_E.contiguous();
    const bool* is_used = used.const_data_ptr<bool>();
    const auto kept = rules.kept_leaves ? rules.kept_leaves(trees) : std::vector<bool>();
    std::vector<bool> result;
    for (size_t e = 0; e < edges.size(); ++e) {
      const auto leaf = static_cast<size_t>(edges[e].root * trees.shape.leaves() + edges[e].node);
      result.push_back(is_used[e] && (kept.empty() || edges[e].step < rules.own_from || kept[leaf]));
    }
    return result;
  }

  StepLoss clipped(const Replayed& r, double weight) const {
    const auto policy_B = [log_prob_B = r.log_prob_B, old_B = r.old_log_prob_B, weight,
                           clip = o_.clip_range](const at::Tensor& advantage_B) {
      return weight * grpo_loss(log_prob_B, old_B, advantage_B.to(log_prob_B.scalar_type()), clip).loss_B;
    };
    StepLoss loss{.policy_B = policy_B};
    add_ratio_measures(loss, r, ratio(r.log_prob_B, r.old_log_prob_B).detach(), o_.clip_range);
    return loss;
  }

  const TreeOptions o_;
  Training& t_;
  const std::function<TreeRules(int64_t)> rules_;
  const std::unique_ptr<Aggregator> aggregator_;
  ReferenceKl reference_;
  const Kernel kernel_;  // of every step: a tree says itself where noise is drawn
  const LogProb form_;
};

}  // namespace

void describe(Fields& f, TreeOptions& o) {
  describe(f, o.groups);
  describe(f, o.advantages);
  describe(f, o.replay);
  describe_of_loss(f, o.reference);
  f.number({"clip_range", "PPO clip of the ratio; small because log-probs are means over latent elements"},
           o.clip_range, 1e-9, 10.0);
}

std::unique_ptr<MethodRun> start_tree_run(Training& training, const TreeOptions& options,
                                          std::function<TreeRules(int64_t)> rules) {
  return std::make_unique<TreeRun>(training, options, std::move(rules));
}

void check_tree(const TreeOptions& o, const SamplerSection& sampler, const std::string& method) {
  check_groups(o.groups);
  check_replay(sampler, method);
  check_reference(o.reference, o.replay.kl_beta);
  if (sampler.tail_ratio < 1.0)
    throw Error("/sampler/tail_ratio",
                "must be 1: " + method + " ends its branches step by step, and has no shorter tail");
}

}  // namespace thalweg
