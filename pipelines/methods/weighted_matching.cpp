#include "pipelines/methods/weighted_matching.h"

namespace thalweg {

void describe(Fields& f, WeightedMatching& o) {
  describe(f, o.levels);
  f.number({"kl_beta", "weight of the squared velocity difference to the reference"}, o.kl_beta, 0.0, 1e3);
}

void check(const WeightedMatching& o, const TrainingOptions& job) {
  check_groups(o.groups);
  check_noise_levels(o.levels, job);
}

Matching matching_of(const WeightedMatching& o, const Training& t) {
  return {.times = o.levels.times,
          .sigmas_TB = [&o, &t](const auto& slot_B) { return drawn_levels(o.levels, t, slot_B); },
          .loss =
              [&o, reference = o.kl_beta > 0.0 ? t.space.reference() : Velocity{}](const Noising& n,
                                                                                   const Share&) {
                auto loss = weighted_error(n);
                add_velocity_penalty(loss, "kl_loss", n, reference, o.kl_beta);
                return loss;
              }};
}

}  // namespace thalweg
