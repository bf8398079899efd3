// DiffusionNFT (Zheng et al. 2025, arXiv 2509.16117): rollout of the old policy with the ODE, clean latents
// only -> score -> group advantages -> forward noising at sigmas of the schedule -> contrastive velocity loss
// -> optimizer -> the old policy follows.
#include <ATen/ATen.h>

#include "engine/core/error.h"
#include "engine/optim/gradients.h"
#include "pipelines/methods/contrast.h"
#include "pipelines/methods/lag.h"
#include "pipelines/methods/matching_method.h"

namespace thalweg {
namespace {

struct Options : MatchingOptions {
  int64_t times_per_sample = 4;
  double beta = 1.0, kl_beta = 1e-4;
  std::string mode = "all";
  Lag lag;  // of the old policy, by iterations
};

const std::vector<std::pair<std::string, NftMode>>& modes() {
  static const std::vector<std::pair<std::string, NftMode>> table = {
      {"all", NftMode::all},
      {"positive_only", NftMode::positive_only},
      {"negative_only", NftMode::negative_only},
      {"one_only", NftMode::one_only},
      {"binary", NftMode::binary}};
  return table;
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const auto& [name, mode] : modes()) all.push_back(name);
  return all;
}

NftMode named_mode(const std::string& name) {
  for (const auto& [known, mode] : modes())
    if (known == name) return mode;
  throw Error("/method/mode", "knows no \"" + name + "\"");
}

class DiffusionNftRun final : public MethodRun {
 public:
  DiffusionNftRun(const Options& options, Training& training)
      : o_(options),
        t_(training),
        old_(training.roles.add("old", training.space, cloned(training.policy.parameters()))),
        aggregator_(options.advantages.start(training)) {}

  Metrics iterate(int64_t iteration) override {
    const auto old = old_.velocity();
    auto metrics = match_groups(t_, iteration, o_.groups, old, *aggregator_, matching(old));
    const double decay = o_.lag.at(iteration + 1);
    old_.follow(t_.policy, decay);
    metrics.emplace_back("old_decay", decay);
    return metrics;
  }

  void state(RunState& state) override { aggregator_->state(state); }

 private:
  Matching matching(const Velocity& old) const {
    const auto reference = o_.kl_beta > 0.0 ? t_.space.reference() : Velocity{};
    return {.times = o_.times_per_sample,
            .sigmas_TB =
                [this, levels = schedule_levels(t_)](const auto& slot_B) {
                  return shuffled_sigmas(t_, levels, o_.times_per_sample, slot_B);
                },
            .loss =
                [this, old, reference, mode = named_mode(o_.mode)](const Noising& n, const Share&) {
                  const auto v_old = n.answer(old);
                  auto loss = contrast(n, v_old, mode, o_.beta, o_.advantages.norm.clip);
                  add_velocity_penalty(loss, "kl_loss", n, reference, o_.kl_beta);
                  return loss;
                }};
  }

  const Options o_;
  Training& t_;
  Role& old_;
  const std::unique_ptr<Aggregator> aggregator_;
};

class DiffusionNft final : public MatchingOf<DiffusionNft, DiffusionNftRun, Options> {
 public:
  void describe(Fields& f) override {
    thalweg::describe(f, o_);
    f.integer({"times_per_sample", "sigmas of the schedule a sample is trained at"}, o_.times_per_sample, 1,
              1000);
    f.number({"beta", "guidance strength b of v+ and v-"}, o_.beta, 1e-3, 10.0);
    f.number({"kl_beta", "weight of the squared velocity difference to the reference"}, o_.kl_beta, 0.0, 1e3);
    thalweg::describe(f, {"old_policy", "how slowly the rollout policy follows, by iterations n"}, o_.lag);
    f.choice(
        {"mode",
         "advantages that teach: all; the positive or the negative ones, the others being 0; one_only (1 "
         "above 0, else 0); binary (their signs)"},
        o_.mode, names());
  }

  void check(const TrainingOptions& options) const override {
    check_groups(o_.groups);
    if (o_.times_per_sample > options.sampler.steps)
      throw Error("/method/times_per_sample",
                  "must be at most /sampler/steps, " + std::to_string(options.sampler.steps));
  }
};

}  // namespace

std::unique_ptr<Method> make_diffusion_nft() {
  return std::make_unique<DiffusionNft>();
}

}  // namespace thalweg
