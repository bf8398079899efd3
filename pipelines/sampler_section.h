// The `sampler` section of a job, and what it stands for: a kernel or a solver, its steps with noise, its
// log-probability.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/core/chosen.h"
#include "engine/models/flow_model.h"
#include "pipelines/samplers/sampler_kind.h"
#include "samplers/guidance/cfg.h"
#include "samplers/transitions.h"
#include "samplers/window.h"

namespace thalweg {

/// Keys of an object: "begin" and "size", steps of the schedule; size 0: to the end.
void describe_window(Fields& fields, int64_t& begin, int64_t& size);

/// Throws Error at "begin" or "size" below `pointer` for a window that reaches outside of `steps` steps.
void check_window(int64_t begin, int64_t size, int64_t steps, const std::string& pointer);

struct SizeSection {
  int64_t height = 512, width = 512, frames = 1;
};
void describe(Fields& fields, SizeSection& size);

/// Noise levels of the steps. "model": as the scheduler in the model's folder says.
struct ScheduleSection {
  std::string name = "model";
  double shift = 3.0, rho = 7.0, sigma_min = 0.002;
};
void describe(Fields& fields, ScheduleSection& schedule);

/// Throws Error at `pointer` for a grid that has one level twice: FLUX's for a very large picture rounds
/// to 1.
void check_schedule(const ScheduleSection& schedule, int64_t steps, const SizeSection& size,
                    const std::string& pointer);

/// `of_model`: the model's own schedule of so many steps.
Schedule schedule_of(const ScheduleSection& schedule, const std::function<Schedule(int64_t)>& of_model,
                     int64_t steps, const SizeSection& size);
Schedule schedule_of(const ScheduleSection& schedule, const FlowModel& model, int64_t steps,
                     const SizeSection& size);

/// Samplers by name; the first is the default (pipelines/builtin.cpp).
const Chosen<SamplerKind>::Table& sampler_table();

/// How many network steps a sampler takes, with which guidance and which noise.
struct SamplerSection {
  Chosen<SamplerKind> kind{sampler_table().front()};
  int64_t steps = 0;  // 0, before fill_steps(): those of the model
  double guidance_scale = 1.0, guidance_rescale = 0.0;
  int64_t guidance_begin = 0, guidance_size = 0;  // guided steps; size 0: to the end
  ScheduleSection schedule;
  int64_t window_begin = 0, window_size = 0;  // steps with noise; size 0: to the end
  std::string window_policy = "fixed";        // or "random", "progressive", "decay"
  int64_t window_until = 0;                   // places lie before this step; 0: the schedule's end
  int64_t window_iterations = 25, window_stride = 1, window_decay_from = 13;
  double window_decay = 0.1;
  double tail_ratio =
      1.0;  // of the steps after the window that are left, solved in second order; 1: all, Euler's
  SizeSection size;

  CfgOptions guidance() const;
};
void describe(Fields& fields, SamplerSection& sampler);

/// What bounds do not say. Throws Error at the key of a window that reaches outside of the steps.
void check_sampler(const SamplerSection& sampler);

/// Of a checked section: steps that draw noise in iteration `iteration` (0 outside of training).
StepWindow step_window(const SamplerSection& sampler, uint64_t seed, int64_t iteration);

/// The kernel that the section names, the ODE outside of `window`. Throws Error at /sampler/name for a
/// sampler that is no one-step kernel.
Kernel kernel_of(const SamplerSection& sampler, StepWindow window);

/// Whether the section's sampler draws noise at its noise level, and more than rounding does.
bool draws_noise(const SamplerSection& sampler);

/// Throws Error at /sampler, naming the samplers that would do, unless the section's sampler draws noise and
/// so has log-probabilities; `what` needs them.
void require_noise(const SamplerSection& sampler, const std::string& what);

/// Log-probability of the section's steps with noise. Throws as require_noise does.
LogProb log_prob_of(const SamplerSection& sampler);

/// Samplers that draw noise and keep the ODE's marginals, by name: those that go with most methods.
std::vector<std::string> sde_samplers();

/// The levels that draw_samples goes through: those of `schedule`, with the section's shorter tail.
Schedule taken_schedule(const SamplerSection& sampler, StepWindow window, const Schedule& schedule);

/// Draws with the section's sampler; keeps `trained_steps`, as sample_transitions does.
Trajectory draw_samples(const SamplerInput& input, const SamplerSection& sampler, StepWindow window,
                        const std::vector<int64_t>& trained_steps = {});

}  // namespace thalweg
