#include "pipelines/methods/surrogate.h"

#include <ATen/ATen.h>

#include "engine/core/device.h"
#include "engine/core/rng.h"
#include "engine/optim/gradients.h"
#include "pipelines/methods/contrast.h"

namespace thalweg {

void describe(Fields& f, SurrogateOptions& o) {
  f.object({"loss", "how it learns from advantages"}, [&](Fields& l) {
    l.variant({"name",
               "group: DGPO's preference of groups along the path of each state, as published; contrast: "
               "DiffusionNFT's loss on the final latents"},
              o.loss,
              {{"group", "with the two guards of its authors' code",
                [&](Fields& g) {
                  describe(g, o.preference);
                  g.choice({"states",
                            "of a trajectory: all, the k-th of K with probability and weight that "
                            "grow as k; or the final latents"},
                           o.states, {"all", "final"});
                }},
               {"contrast", "around its average", [&](Fields& c) {
                  c.number({"beta", "guidance strength b of v+ and v-"}, o.contrast_beta, 1e-3, 10.0);
                }}});
  });
  f.integer({"updates", "of it for one of the generator, each with noise of its own"}, o.updates, 1, 100);
  f.number({"minimum", "lowest noise level at which it learns"}, o.minimum, 0.0, 0.99);
  f.number({"kl_beta", "weight of its squared velocity difference to the teacher"}, o.kl_beta, 0.0, 1e3);
  f.object({"excess", "a penalty of that difference beyond a bound"}, [&](Fields& e) {
    e.number({"above", "the bound"}, o.excess_above, 0.0, 1e6);
    e.number({"beta", "weight of what is beyond; 0: none"}, o.excess_beta, 0.0, 1e3);
  });
  describe(f, {"average", "how slowly its average follows, by optimizer steps n (contrast: by iterations)"},
           o.average);
  f.object({"optimizer", "its own"}, [&](Fields& g) { thalweg::describe(g, o.optimizer); });
}

Surrogate::Surrogate(const SurrogateOptions& options, const TauOptions& tau, const Teacher& teacher,
                     double clip, Training& training)
    : o_(options),
      tau_(tau),
      clip_(clip),
      t_(training),
      role_(training.roles.add("surrogate", training.space, leaves(cloned(teacher.start)),
                               Learning{options.optimizer, 0.0})),
      average_(training.roles.add("surrogate_average", training.space, cloned(teacher.start))),
      base_(teacher.velocity),
      preference_(options.preference, role_, average_, base_) {}

void Surrogate::learn(Walks& walks, const GroupPlan& plan, const Advantages& advantages,
                      Aggregator& aggregator, int64_t iteration, Metrics& metrics) {
  const auto matching = this->matching(walks.updates_so_far());
  train_on_clean_latents(t_, walks.batches(), plan, advantages, aggregator, matching, iteration, metrics);
  walks.count(matching.passes * plan.updates);
  if (o_.loss == "group")
    follow();
  else
    average_.follow(role_, o_.average.at(iteration + 1));
}

void Surrogate::follow() {
  average_.follow(role_, o_.average.at(role_.steps()));
}

Matching Surrogate::matching(int64_t updates_before) {
  Matching matching{.passes = o_.updates,
                    .sigmas_TB = [this](const auto& slot_B) { return sigmas_TB(slot_B); },
                    .loss = [this](const Noising& n, const Share&) { return loss(n); },
                    .role = &role_,
                    .updates_before = updates_before};
  if (o_.loss == "contrast") return matching;
  matching.of_group = true;
  matching.prepare = [this, updates_before](const UpdateNoisings& all, std::vector<Head>& heads,
                                            Metrics& told) {
    if (all.update.index > updates_before) follow();
    preference_.weigh(all, heads, told);
  };
  if (o_.states == "all") matching.steps_TB = [this](const auto& slot_B) { return steps_TB(slot_B); };
  return matching;
}

// Step k = 0, 1, ... with probability (k + 1) / (1 + ... + K).
at::Tensor Surrogate::steps_TB(const std::vector<int64_t>& slot_B) const {
  const auto K = t_.schedule.steps();
  auto k_TB = at::empty({o_.updates, static_cast<int64_t>(slot_B.size())}, at::kLong);
  for (int64_t i = 0; i < o_.updates; ++i)
    for (size_t b = 0; b < slot_B.size(); ++b) {
      const double u = random_uniform(t_.seed(), Purpose::walked_steps, static_cast<uint64_t>(slot_B[b]),
                                      static_cast<uint64_t>(i));
      const double of_all = u * static_cast<double>(K * (K + 1)) / 2.0;
      int64_t k = 0;
      while (k + 1 < K && static_cast<double>((k + 1) * (k + 2)) / 2.0 <= of_all) ++k;
      k_TB[i][static_cast<int64_t>(b)] = k;
    }
  return k_TB;
}

at::Tensor Surrogate::sigmas_TB(const std::vector<int64_t>& slot_B) const {
  const bool final = o_.loss == "contrast" || o_.states == "final";
  const auto k_TB =
      final ? at::full({o_.updates, static_cast<int64_t>(slot_B.size())}, t_.schedule.steps() - 1, at::kLong)
            : steps_TB(slot_B);
  auto tau = tau_;
  if (final) tau.range = "reverse";
  std::vector<at::Tensor> of_times;
  for (int64_t i = 0; i < o_.updates; ++i) {
    const auto* k = k_TB[i].const_data_ptr<int64_t>();
    of_times.push_back(
        drawn_tau(t_, tau, slot_B, {k, k + slot_B.size()}, static_cast<uint64_t>(i), o_.minimum));
  }
  return at::stack(of_times);
}

StepLoss Surrogate::loss(const Noising& n) const {
  StepLoss loss = o_.loss == "group"
                      ? weighted_error(n)
                      : contrast(n, n.answer(average_.velocity()), NftMode::all, o_.contrast_beta, clip_);
  if (n.k_B.defined()) {
    const auto share_B = (n.k_B + 1).to(at::kDouble) / static_cast<double>(t_.schedule.steps());
    loss.policy_B = [share_B, of = loss.policy_B](const at::Tensor& A_B) { return of(share_B * A_B); };
  }
  loss.name = "surrogate_loss";
  const auto distance_B = velocity_kl(n.v, n.answer(base_));
  loss.penalties.push_back({"surrogate_distance", distance_B, o_.kl_beta});
  if (o_.excess_beta > 0.0)
    loss.penalties.push_back(
        {"surrogate_excess", (distance_B - o_.excess_above).clamp_min(0.0), o_.excess_beta});
  return loss;
}

}  // namespace thalweg
