// Flow-DPO (VideoReward, Liu et al. 2025, arXiv 2501.13918, section 4.2): pairs of a better and a worse
// sample of one prompt, at one noise and one noise level; the policy's matching errors against the
// reference's stand for log-probabilities (engine/losses/dpo.h). beta does not depend on the noise level:
// with the theory's beta (1 - t)^2 the authors lost alignment with the text. Pairs are the best and the worst
// of each group of a rollout, or pictures that people or a reward compared before.
#include <ATen/ATen.h>

#include <algorithm>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/losses/dpo.h"
#include "engine/losses/nft.h"
#include "engine/optim/gradients.h"
#include "pipelines/methods/matching.h"
#include "pipelines/methods/method.h"
#include "pipelines/methods/noise_levels.h"
#include "pipelines/prompt_file.h"
#include "pipelines/training/selection.h"

namespace thalweg {
namespace {

struct Options {
  GroupPlan groups{16, 12, 1};
  NoiseLevels levels{.name = "logit_normal", .times = 4};
  std::string data = "best_and_worst";  // or "pairs"
  PictureSource pairs;
  double beta = 100.0, margin = 0.0, tie_theta = 1.0;
  int64_t refresh = 0;  // iterations; 0: the job's reference
};

// What a line of a file of pairs says beside its pictures.
struct PairLine {
  double margin = 0.0;
  bool tie = false;
};

PairLine pair_line(const Json& line, const std::string& place, const Options& o) {
  PairLine read{.margin = o.margin};
  if (const auto it = line.find("margin"); it != line.end()) {
    if (!it->is_number()) throw Error(place, "\"margin\" must be a number");
    read.margin += it->get<double>();
  }
  if (const auto it = line.find("tie"); it != line.end()) {
    if (!it->is_boolean()) throw Error(place, "\"tie\" must be true or false");
    read.tie = it->get<bool>();
  }
  if (read.tie && o.tie_theta == 1.0)
    throw Error(place,
                "is a tie, which /method/tie_theta 1 does not know; set it above 1, or leave the line out");
  return read;
}

// Winner, loser, winner, loser: never parted by a micro-batch.
struct Pairs {
  std::vector<MicroBatch> batches;
  at::Tensor used_B;           // bool: all
  at::Tensor margin_B, tie_B;  // of both samples of a pair
};

class FlowDpoRun final : public MethodRun {
 public:
  FlowDpoRun(const Options& options, Training& training) : o_(options), t_(training) {
    if (o_.refresh > 0)
      refreshed_ = &training.roles.add("reference", training.space, cloned(training.policy.parameters()));
    if (o_.data != "pairs") return;
    for (const auto& line : t_.prompts.list.metadata_json)
      lines_.push_back(pair_line(parse_json(line, "/prompts/train"), "/prompts/train", o_));
  }

  Metrics iterate(int64_t iteration) override {
    if (refreshed_ && iteration > 0 && iteration % o_.refresh == 0) refreshed_->follow(t_.policy, 0.0);
    Metrics metrics;
    const auto pairs = o_.data == "pairs" ? given(iteration) : drawn(iteration, metrics);
    metrics.emplace_back("pairs", static_cast<double>(pairs.used_B.numel() / 2));
    const auto reference = refreshed_ ? refreshed_->velocity() : t_.space.reference();
    train_on_clean_latents(t_, pairs.batches, o_.groups, weights(pairs.used_B, pairs.used_B), head_,
                           matching(pairs, reference), iteration, metrics);
    return metrics;
  }

 private:
  int64_t micro_batch() const {
    return std::max<int64_t>(2, t_.options.parallel.micro_batch / 2 * 2);  // pairs stay together
  }

  Pairs drawn(int64_t iteration, Metrics& metrics) const {
    const auto [batches, scores] =
        draw_clean_latents(t_, iteration, o_.groups, t_.policy.velocity(), metrics);
    report_totals(scores, metrics);
    const auto reward = scores.total.total_B.accessor<double, 1>();
    std::vector<int64_t> rows;
    std::vector<PairLine> lines;
    const auto all = best_and_worst_of_groups(scores);
    for (size_t i = 0; i < all.size(); i += 2) {
      const bool tie = reward[all[i]] == reward[all[i + 1]];
      if (tie && o_.tie_theta == 1.0) continue;
      rows.insert(rows.end(), {all[i], all[i + 1]});
      lines.push_back({o_.margin, tie});
    }
    return with(selected(batches, rows, o_.groups, micro_batch()).batches, lines);
  }

  Pairs given(int64_t iteration) const {
    auto batches = given_groups(t_, iteration, o_.groups, micro_batch());
    std::vector<PairLine> lines;
    for (const auto& batch : batches)
      for (size_t i = 0; i < batch.rows.size(); i += 2)
        lines.push_back(lines_[static_cast<size_t>(batch.rows[i].prompt)]);
    return with(std::move(batches), lines);
  }

  static Pairs with(std::vector<MicroBatch> batches, const std::vector<PairLine>& lines) {
    const auto count = static_cast<int64_t>(2 * lines.size());
    Pairs pairs{std::move(batches), at::ones({count}, at::kBool), at::empty({count}, at::kDouble),
                at::empty({count}, at::kBool)};
    for (int64_t i = 0; i < count; ++i) {
      pairs.margin_B[i] = lines[static_cast<size_t>(i / 2)].margin;
      pairs.tie_B[i] = lines[static_cast<size_t>(i / 2)].tie;
    }
    return pairs;
  }

  Matching matching(const Pairs& pairs, const Velocity& reference) const {
    return {.times = o_.levels.times,
            .sigmas_TB = [this](const auto& slot_B) { return drawn_levels(o_.levels, t_, slot_B); },
            .loss =
                [this, reference, margin_B = pairs.margin_B, tie_B = pairs.tie_B](const Noising& n,
                                                                                  const Share& share) {
                  return loss_of(n, reference, on_device(share.rows(margin_B), t_.device()),
                                 on_device(share.rows(tie_B), t_.device()));
                },
            .of_group = true};
  }

  StepLoss loss_of(const Noising& n, const Velocity& reference, const at::Tensor& margin_B,
                   const at::Tensor& tie_B) const {
    const auto of = [](const at::Tensor& x_B, int64_t which) { return x_B.view({-1, 2}).select(1, which); };
    const auto both = [](const at::Tensor& x_P) { return x_P.repeat_interleave(2); };
    const auto e_B = velocity_kl(n.v, n.target()).to(at::kDouble),
               reference_B = velocity_kl(n.answer(reference), n.target()).to(at::kDouble);
    const DpoErrors winner{of(e_B, 0), of(reference_B, 0)}, loser{of(e_B, 1), of(reference_B, 1)};
    const auto z_P = dpo_log_odds(winner, loser, o_.beta);
    const auto loss_B = both(dpo_loss(z_P, of(margin_B, 0), of(tie_B, 0), o_.tie_theta));
    StepLoss loss{.policy_B = [=](const at::Tensor& weight_B) { return weight_B * loss_B; }};
    const auto seen_P = z_P.detach();
    loss.measures = {{"implicit_margin", both(seen_P)},
                     {"implicit_accuracy", both((seen_P > 0.0).to(at::kDouble))},
                     {"winner_error_change", both((winner.policy_P - winner.reference_P).detach())},
                     {"loser_error_change", both((loser.policy_P - loser.reference_P).detach())}};
    return loss;
  }

  const Options o_;
  Training& t_;
  Role* refreshed_ = nullptr;
  std::vector<PairLine> lines_;  // of a file of pairs
  OneHead head_;
};

class FlowDpo final : public MethodOf<FlowDpo, FlowDpoRun, Options> {
 public:
  void describe(Fields& f) override {
    f.object({"data", "what is compared"}, [this](Fields& d) {
      d.variant({"name", "data"}, o_.data,
                {{"best_and_worst", "of each group that is drawn, by combined reward", [](Fields&) {}},
                 {"pairs",
                  "pictures that were compared before; each line of /prompts/train is {\"prompt\": ..., "
                  "\"chosen\": FILE, \"rejected\": FILE} and, if it has them, \"margin\" (a number, added to "
                  "/method/margin) and \"tie\" (true: neither is better)",
                  [this](Fields& p) { thalweg::describe(p, o_.pairs); }}});
    });
    if (o_.data == "pairs") {
      o_.groups.group_size = 2;
      describe_given(f, o_.groups);
    } else {
      thalweg::describe(f, o_.groups);
    }
    thalweg::describe(f, o_.levels);
    f.number(
        {"beta",
         "how closely the reference is kept to, for errors that are MEANS over latent elements; code that "
         "sums them has a beta smaller by their number"},
        o_.beta, 1e-6, 1e9);
    f.number(
        {"margin", "log-odds that the policy is to have beyond the reference's before it is sure of a pair"},
        o_.margin, 0.0, 1e3);
    f.number({"tie_theta",
              "theta of Rao and Kupper: the larger, the likelier two alike are a tie; 1: no ties, and groups "
              "whose samples all score alike give no pair"},
             o_.tie_theta, 1.0, 1e6);
    f.integer(
        {"refresh", "iterations after which the reference becomes the policy; 0: the job's reference stays"},
        o_.refresh, 0, 1000000);
  }

  void check(const TrainingOptions& options) const override {
    check_groups(o_.groups);
    check_noise_levels(o_.levels, options);
    if (o_.data != "pairs") return;
    for (const auto& line : read_prompt_lines(options.prompts.to_train()))
      pair_line(parse_json(line.metadata_json, line.place), line.place, o_);
  }

  PictureSource pictures() const override {
    auto source = o_.pairs;
    if (o_.data == "pairs") source.keys = {"chosen", "rejected"};
    return source;
  }
};

}  // namespace

std::unique_ptr<Method> make_flow_dpo() {
  return std::make_unique<FlowDpo>();
}

}  // namespace thalweg
