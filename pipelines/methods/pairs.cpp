#include "pipelines/methods/pairs.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "engine/core/device.h"
#include "engine/losses/dpo.h"
#include "engine/losses/nft.h"
#include "pipelines/training/selection.h"

namespace thalweg {
namespace {

StepLoss loss_of(const Noising& n, const Velocity& reference, const at::Tensor& margin_B,
                 const at::Tensor& tie_B, const PairOptions& o) {
  const auto of = [](const at::Tensor& x_B, int64_t which) { return x_B.view({-1, 2}).select(1, which); };
  const auto both = [](const at::Tensor& x_P) { return x_P.repeat_interleave(2); };
  const auto e_B = velocity_kl(n.v, n.target()).to(at::kDouble),
             reference_B = velocity_kl(n.answer(reference), n.target()).to(at::kDouble);
  const DpoErrors winner{of(e_B, 0), of(reference_B, 0)}, loser{of(e_B, 1), of(reference_B, 1)};
  const auto z_P = dpo_log_odds(winner, loser, o.beta);
  const auto loss_B = both(dpo_loss(z_P, of(margin_B, 0), of(tie_B, 0), o.tie_theta));
  StepLoss loss{.policy_B = [=](const at::Tensor& weight_B) { return weight_B * loss_B; }};
  const auto seen_P = z_P.detach();
  loss.measures = {{"implicit_margin", both(seen_P)},
                   {"implicit_accuracy", both((seen_P > 0.0).to(at::kDouble))},
                   {"winner_error_change", both((winner.policy_P - winner.reference_P).detach())},
                   {"loser_error_change", both((loser.policy_P - loser.reference_P).detach())}};
  return loss;
}

}  // namespace

void describe(Fields& f, PairOptions& o) {
  describe(f, o.levels);
  f.number({"beta",
            "how closely the reference is kept to, for errors that are MEANS over latent elements; code that "
            "sums them has a beta smaller by their number"},
           o.beta, 1e-6, 1e9);
  f.number(
      {"margin", "log-odds that the policy is to have beyond the reference's before it is sure of a pair"},
      o.margin, 0.0, 1e3);
  f.number({"tie_theta",
            "theta of Rao and Kupper: the larger, the likelier two alike are a tie; 1: no ties, and groups "
            "whose samples all score alike give no pair"},
           o.tie_theta, 1.0, 1e6);
}

Pairs with_verdicts(std::vector<MicroBatch> batches, const std::vector<Verdict>& verdicts) {
  const auto count = static_cast<int64_t>(2 * verdicts.size());
  Pairs pairs{std::move(batches), at::empty({count}, at::kDouble), at::empty({count}, at::kBool)};
  for (int64_t i = 0; i < count; ++i) {
    pairs.margin_B[i] = verdicts[static_cast<size_t>(i / 2)].margin;
    pairs.tie_B[i] = verdicts[static_cast<size_t>(i / 2)].tie;
  }
  return pairs;
}

Pairs best_and_worst(const Training& t, const Rollout& rollout, const CombinedReward& reward,
                     const GroupPlan& plan, const PairOptions& o) {
  const auto value = reward.total_B.accessor<double, 1>();
  std::vector<int64_t> rows;
  std::vector<Verdict> verdicts;
  const auto all = best_and_worst_of_groups(reward, rollout.scores.group_B);
  for (size_t i = 0; i < all.size(); i += 2) {
    const bool tie = value[all[i]] == value[all[i + 1]];
    if (tie && o.tie_theta == 1.0) continue;
    rows.insert(rows.end(), {all[i], all[i + 1]});
    verdicts.push_back({o.margin, tie});
  }
  return with_verdicts(selected(rollout.batches, rows, plan, pair_micro_batch(t)).batches, verdicts);
}

void append(Pairs& sum, Pairs part) {
  std::move(part.batches.begin(), part.batches.end(), std::back_inserter(sum.batches));
  sum.margin_B = at::cat({sum.margin_B, part.margin_B});
  sum.tie_B = at::cat({sum.tie_B, part.tie_B});
}

int64_t pair_micro_batch(const Training& t) {
  return std::max<int64_t>(2, t.options.parallel.micro_batch / 2 * 2);
}

Matching pair_matching(const Training& t, const PairOptions& o, const Pairs& pairs,
                       std::function<Velocity(const Share&)> reference) {
  return {.times = o.levels.times,
          .sigmas_TB = [&t, &o](const auto& slot_B) { return drawn_levels(o.levels, t, slot_B); },
          .loss =
              [&t, &o, reference = std::move(reference), margin_B = pairs.margin_B, tie_B = pairs.tie_B](
                  const Noising& n, const Share& share) {
                return loss_of(n, reference(share), on_device(share.rows(margin_B), t.device()),
                               on_device(share.rows(tie_B), t.device()), o);
              },
          .of_group = true};
}

}  // namespace thalweg
