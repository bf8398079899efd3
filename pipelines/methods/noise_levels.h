// The noise levels at which a method trains on clean latents, where its paper leaves them to the user.
#pragma once

#include "pipelines/training/training.h"

namespace thalweg {

struct NoiseLevels {
  std::string name = "schedule";  // or "uniform", "logit_normal"
  double mean = 0.0, deviation = 1.0;
  int64_t times = 1;  // of a sample
};

/// "noise_levels", "times_per_sample".
void describe(Fields& fields, NoiseLevels& levels);

/// Throws Error at /method/times_per_sample for more of them than the schedule has.
void check_noise_levels(const NoiseLevels& levels, const TrainingOptions& options);

/// [times,B] in (0,1], float64 on the CPU, each drawn by its slot. schedule: of the rollouts' levels, each
/// equally likely, none twice. logit_normal: sigmoid of N(mean, deviation^2) (Esser et al. 2024, arXiv
/// 2403.03206, section 3.1).
at::Tensor drawn_levels(const NoiseLevels& levels, const Training& training,
                        const std::vector<int64_t>& slot_B);

/// Throws Error at /sampler/schedule where the last step begins at level `least` or below: nothing is left to
/// it.
void require_last_step(const Schedule& schedule, double least);

}  // namespace thalweg
