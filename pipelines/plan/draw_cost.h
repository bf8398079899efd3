// What drawing samples costs, found by drawing them: the job's own sampler, steering and guidance run on
// latents of one number, with a network and a reward that only count. So no method has a formula here.
#pragma once

#include "pipelines/steering/steering.h"

namespace thalweg {

/// How samples are drawn.
struct DrawSettings {
  SamplerSection sampler;
  std::vector<SteeringEntry> steering = {};
  Schedule schedule;
  StepWindow window;
};

struct DrawCost {
  // For each sample that is asked for, as the section "steering" of result.json counts (a guided evaluation
  // is two). Exact as long as every reward is scored: where none of the candidates of a step is, `doob` asks
  // the network once more.
  double network_evaluations = 0.0, network_gradients = 0.0, reward_calls = 0.0, reward_gradients = 0.0;
  double returned = 1.0;  // samples handed back
  // Of a micro-batch.
  double samples = 1.0;                          // asked for
  double network_rows = 0.0, reward_rows = 0.0;  // the most in one call
  double kept_network_rows = 0.0,
         kept_reward_rows = 0.0;  // the most that wait for their backward pass at once
};

/// Euler's method (the default sampler), as the stage `evaluate` draws.
DrawSettings ode_settings(int64_t steps, double guidance_scale, Schedule schedule);

/// Of the first micro-batch of `samples` that are asked for.
DrawCost draw_cost(const DrawSettings& settings, int64_t samples, int64_t micro_batch);

/// Samples of a micro-batch where each takes that many particles.
int64_t samples_at_once(int64_t micro_batch, int64_t particles);

}  // namespace thalweg
