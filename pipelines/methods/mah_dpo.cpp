// MAH-DPO, Multi-Action-Head DPO (Simultaneous Multi-objective Alignment Across Verifiable and Non-verifiable
// Rewards, arXiv 2510.01167): one head a reward on a shared backbone, all trained at once, each by DPO on
// pairs of its own reward; at inference the heads are mixed by weights.
//
// Here a head is a LoRA, and the backbone stays as it is. The policy's LoRA is cut into K blocks of its
// ranks; head k is the base with block k / w_k, w_k = |weight of reward k| / sum of all. So the policy as a
// whole is the mixture by the rewards' weights, base + sum_k w_k (head_k - base), and draws the rollouts. The
// loss is sum_k w_k L_k, L_k that of Flow-DPO of head k alone: a block's gradient then does not grow as its
// weight falls. With one reward it is Flow-DPO.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "pipelines/methods/pairs.h"
#include "pipelines/training/selection.h"

namespace thalweg {
namespace {

struct Options {
  PairOptions loss;
  GroupPlan groups{16, 12, 1};
};

std::vector<LoraBlock> heads_of(const NamedWeights& rewards) {
  double total = 0.0;
  for (const auto& [name, weight] : rewards) total += std::fabs(weight);
  std::vector<LoraBlock> heads;
  for (const auto& [name, weight] : rewards)
    heads.push_back({name, static_cast<int64_t>(heads.size()), static_cast<int64_t>(rewards.size()),
                     std::fabs(weight) / total});
  return heads;
}

NamedWeights trained(const RewardSet& rewards) {
  NamedWeights trained;
  for (const auto k : trained_columns(rewards.weights_K()))
    trained.emplace_back(rewards.names_K()[k], rewards.weights_K()[k]);
  if (trained.empty()) trained.emplace_back("reward", 1.0);  // see trained_rewards
  return trained;
}

// The pairs of all heads, those of one after the other's: no micro-batch has two heads.
struct HeadPairs {
  Pairs pairs;
  std::vector<int64_t> ends;  // rows of head k end there

  size_t head_of(const Share& share) const {
    return static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), share.begin) - ends.begin());
  }
  double rows_of(size_t head) const {
    return static_cast<double>(ends[head] - (head == 0 ? 0 : ends[head - 1]));
  }
};

class MahDpoRun final : public MethodRun {
 public:
  MahDpoRun(const Options& options, Training& training)
      : o_(options), t_(training), heads_(heads_of(trained(*training.rewards))) {
    if (t_.space.is_lora())
      require_blocks(t_.space.strength(), t_.space.modules(), static_cast<int64_t>(heads_.size()));
  }

  Metrics iterate(int64_t iteration) override {
    Metrics metrics;
    const auto rollout = draw_clean_latents(t_, iteration, o_.groups, t_.policy.velocity(), metrics);
    const auto all = drawn(rollout, metrics);
    const auto used_B = at::ones_like(all.pairs.tie_B);
    train_on_clean_latents(t_, all.pairs.batches, o_.groups, weights(used_B, used_B), head_, matching(all),
                           iteration, metrics);
    return metrics;
  }

 private:
  HeadPairs drawn(const Rollout& rollout, Metrics& metrics) const {
    auto rewards = trained_rewards(rollout.scores);
    for (size_t k = 0; k < heads_.size(); ++k)
      if (rewards.weights_K[k] < 0.0) rewards.values_BK.select(1, static_cast<int64_t>(k)).neg_();
    report_advantages(joined(column_advantages(rewards, rollout.scores.group_B, {})), rewards.valid_BK.any(1),
                      metrics);
    HeadPairs all;
    for (size_t k = 0; k < heads_.size(); ++k) {
      const auto column = static_cast<int64_t>(k);
      auto pairs = best_and_worst(t_, rollout,
                                  {rewards.values_BK.select(1, column), rewards.valid_BK.select(1, column)},
                                  o_.groups, o_.loss);
      metrics.emplace_back("pairs_" + heads_[k].name, static_cast<double>(pairs.count()));
      if (k == 0)
        all.pairs = std::move(pairs);
      else
        append(all.pairs, std::move(pairs));
      all.ends.push_back(2 * all.pairs.count());
    }
    metrics.emplace_back("pairs", static_cast<double>(all.pairs.count()));
    return all;
  }

  Matching matching(const HeadPairs& all) const {
    std::vector<Velocity> references;
    for (const auto& head : heads_)
      references.push_back(t_.space.is_lora() ? t_.space.reference(head) : t_.space.reference());
    auto how = pair_matching(t_, o_.loss, all.pairs, [&all, references](const Share& share) {
      return references[all.head_of(share)];
    });
    // `plan` rehearses without a LoRA, and there is nothing to cut.
    if (t_.space.is_lora())
      how.velocity = [this, &all](const Share& share) {
        return t_.space.bind(t_.policy.parameters(), heads_[all.head_of(share)]);
      };
    how.prepare = [this, &all](const UpdateNoisings& noisings, std::vector<Head>& loss, Metrics&) {
      weigh(all, noisings.update, loss.at(0).advantage_B);
    };
    how.loss = [this, &all, inner = how.loss](const Noising& n, const Share& share) {
      auto loss = inner(n, share);
      add_accuracies(all, all.head_of(share), loss);
      return loss;
    };
    return how;
  }

  // Whose mean over the update is sum_k w_k (mean over the pairs of head k).
  void weigh(const HeadPairs& all, const Update& update, at::Tensor& weight_B) const {
    std::vector<double> rows(heads_.size(), 0.0);
    for (const auto& share : update.shares)
      rows[all.head_of(share)] += static_cast<double>(share.end - share.begin);
    weight_B = at::zeros_like(weight_B);
    for (const auto& share : update.shares) {
      const auto k = all.head_of(share);
      share.rows(weight_B).fill_(heads_[k].weight * update.used / rows[k]);
    }
  }

  // Over all of an iteration, so that an update without pairs of a reward does not count as a wrong one.
  void add_accuracies(const HeadPairs& all, size_t head, StepLoss& loss) const {
    const auto measure = std::find_if(loss.measures.begin(), loss.measures.end(),
                                      [](const Term& term) { return term.name == "implicit_accuracy"; });
    const auto right = measure->value_B.sum() * static_cast<double>(o_.groups.updates);
    for (size_t k = 0; k < heads_.size(); ++k)
      if (const double steps = all.rows_of(k) * static_cast<double>(o_.loss.levels.times); steps > 0.0)
        loss.numbers.push_back(
            {"implicit_accuracy_" + heads_[k].name, k == head ? right / steps : at::zeros_like(right)});
  }

  const Options o_;
  Training& t_;
  const std::vector<LoraBlock> heads_;
  OneHead head_;
};

class MahDpo final : public MatchingOf<MahDpo, MahDpoRun, Options> {
 public:
  void describe(Fields& f) override {
    thalweg::describe(f, o_.groups);
    thalweg::describe(f, o_.loss);
  }

  void check(const TrainingOptions& options) const override {
    check_groups(o_.groups);
    check_noise_levels(o_.loss.levels, options);
    if (!options.model.has_lora)
      throw Error("/model/lora",
                  "is missing: the head of each reward is a part of its ranks. Give it a rank that is a "
                  "multiple of the number of rewards of weight other than 0");
  }

  std::vector<LoraBlock> blocks(const NamedWeights& rewards) const override { return heads_of(rewards); }
};

}  // namespace

std::unique_ptr<Method> make_mah_dpo() {
  return std::make_unique<MahDpo>();
}

}  // namespace thalweg
