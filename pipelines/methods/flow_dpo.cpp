// Flow-DPO (VideoReward, Liu et al. 2025, arXiv 2501.13918, section 4.2): pairs of a better and a worse
// sample of one prompt, at one noise and one noise level; the policy's matching errors against the
// reference's stand for log-probabilities (engine/losses/dpo.h). beta does not depend on the noise level:
// with the theory's beta (1 - t)^2 the authors lost alignment with the text. Pairs are the best and the worst
// of each group of a rollout, or pictures that people or a reward compared before.
#include <ATen/ATen.h>

#include "engine/core/error.h"
#include "engine/optim/gradients.h"
#include "pipelines/methods/pairs.h"
#include "pipelines/prompt_file.h"
#include "pipelines/training/selection.h"

namespace thalweg {
namespace {

struct Options {
  GroupPlan groups{16, 12, 1};
  PairOptions loss;
  std::string data = "best_and_worst";  // or "pairs"
  PictureSource pairs;
  int64_t refresh = 0;  // iterations; 0: the job's reference
};

// What a line of a file of pairs says beside its pictures.
Verdict verdict_of(const Json& line, const std::string& place, const PairOptions& o) {
  Verdict read{.margin = o.margin};
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

class FlowDpoRun final : public MethodRun {
 public:
  FlowDpoRun(const Options& options, Training& training) : o_(options), t_(training) {
    if (o_.refresh > 0)
      refreshed_ = &training.roles.add("reference", training.space, cloned(training.policy.parameters()));
    if (o_.data != "pairs") return;
    for (const auto& line : t_.prompts.list.metadata_json)
      lines_.push_back(verdict_of(parse_json(line, "/prompts/train"), "/prompts/train", o_.loss));
  }

  Metrics iterate(int64_t iteration) override {
    if (refreshed_ && iteration > 0 && iteration % o_.refresh == 0) refreshed_->follow(t_.policy, 0.0);
    Metrics metrics;
    const auto pairs = o_.data == "pairs" ? given(iteration) : drawn(iteration, metrics);
    metrics.emplace_back("pairs", static_cast<double>(pairs.count()));
    const auto used_B = at::ones_like(pairs.tie_B);
    const auto reference = refreshed_ ? refreshed_->velocity() : t_.space.reference();
    train_on_clean_latents(t_, pairs.batches, o_.groups, weights(used_B, used_B), head_,
                           pair_matching(t_, o_.loss, pairs, [=](const Share&) { return reference; }),
                           iteration, metrics);
    return metrics;
  }

 private:
  Pairs drawn(int64_t iteration, Metrics& metrics) const {
    const auto rollout = draw_clean_latents(t_, iteration, o_.groups, t_.policy.velocity(), metrics);
    report_totals(rollout.scores, metrics);
    return best_and_worst(t_, rollout, rollout.scores.total, o_.groups, o_.loss);
  }

  Pairs given(int64_t iteration) const {
    auto batches = given_groups(t_, iteration, o_.groups, pair_micro_batch(t_));
    std::vector<Verdict> verdicts;
    for (const auto& batch : batches)
      for (size_t i = 0; i < batch.rows.size(); i += 2)
        verdicts.push_back(lines_[static_cast<size_t>(batch.rows[i].prompt)]);
    return with_verdicts(std::move(batches), verdicts);
  }

  const Options o_;
  Training& t_;
  Role* refreshed_ = nullptr;
  std::vector<Verdict> lines_;  // of a file of pairs
  OneHead head_;
};

class FlowDpo final : public MatchingOf<FlowDpo, FlowDpoRun, Options> {
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
    thalweg::describe(f, o_.loss);
    f.integer(
        {"refresh", "iterations after which the reference becomes the policy; 0: the job's reference stays"},
        o_.refresh, 0, 1000000);
  }

  void check(const TrainingOptions& options) const override {
    check_groups(o_.groups);
    check_noise_levels(o_.loss.levels, options);
    if (o_.data != "pairs") return;
    for (const auto& line : read_prompt_lines(options.prompts.to_train()))
      verdict_of(parse_json(line.metadata_json, line.place), line.place, o_.loss);
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
