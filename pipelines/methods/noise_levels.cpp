#include "pipelines/methods/noise_levels.h"

#include <ATen/ATen.h>

#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "pipelines/methods/matching.h"

namespace thalweg {

void describe(Fields& f, NoiseLevels& levels) {
  f.object({"noise_levels", "at which samples are trained"}, [&](Fields& n) {
    n.variant({"name", "where they come from"}, levels.name,
              {{"schedule", "those of the sampler's steps, each equally likely", [](Fields&) {}},
               {"uniform", "any between 0 and 1, each equally likely", [](Fields&) {}},
               {"logit_normal", "sigmoid of a normal number", [&](Fields& l) {
                  l.number({"mean", "of the normal number; above 0: more noise"}, levels.mean, -10.0, 10.0);
                  l.number({"std", "its deviation"}, levels.deviation, 1e-3, 10.0);
                }}});
  });
  f.integer({"times_per_sample", "noise levels a sample is trained at"}, levels.times, 1, 1000);
}

void check_noise_levels(const NoiseLevels& levels, const TrainingOptions& options) {
  if (levels.name == "schedule" && levels.times > options.sampler.steps)
    throw Error("/method/times_per_sample", "is " + std::to_string(levels.times) + ": the schedule has the " +
                                                std::to_string(options.sampler.steps) +
                                                " levels of /sampler/steps");
}

at::Tensor drawn_levels(const NoiseLevels& levels, const Training& t, const std::vector<int64_t>& slot_B) {
  if (levels.name == "schedule") return shuffled_sigmas(t, schedule_levels(t), levels.times, slot_B);
  if (levels.name == "uniform") {
    auto sigmas_TB = at::empty({levels.times, static_cast<int64_t>(slot_B.size())}, at::kDouble);
    auto out = sigmas_TB.accessor<double, 2>();
    for (int64_t i = 0; i < levels.times; ++i)
      for (size_t b = 0; b < slot_B.size(); ++b)
        out[i][static_cast<int64_t>(b)] =
            1.0 - random_uniform(t.seed(), Purpose::training_sigma, static_cast<uint64_t>(slot_B[b]),
                                 static_cast<uint64_t>(i));
    return sigmas_TB;
  }
  std::vector<at::Tensor> normal;
  for (int64_t i = 0; i < levels.times; ++i)
    normal.push_back(
        normal_noise(t.seed(), Purpose::training_sigma, slot_B, static_cast<uint64_t>(i), {1}, at::kDouble)
            .squeeze(1));
  return at::sigmoid(at::stack(normal) * levels.deviation + levels.mean);
}

void require_last_step(const Schedule& schedule, double least) {
  if (const double t = schedule.sigmas[static_cast<size_t>(schedule.steps()) - 1]; t <= least)
    throw Error("/sampler/schedule",
                "spends the last of " + std::to_string(schedule.steps()) + " steps on the way from " +
                    std::to_string(t) +
                    " to 0, as diffusers' own does: take {\"name\": \"shifted\", "
                    "\"shift\": S}, S the model's shift, whose steps are even before it");
}

}  // namespace thalweg
