#include "pipelines/sampler_section.h"

#include <algorithm>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "engine/models/sd3/sd3_schedule.h"
#include "samplers/flash.h"
#include "samplers/schedules/flux.h"
#include "samplers/schedules/karras.h"
#include "samplers/schedules/linear.h"
#include "samplers/schedules/shifted.h"

namespace thalweg {
namespace {

void describe_common(Fields& f, SamplerSection& s) {
  f.integer({"steps", "network steps; 0: those of the model where it is a few-step generator, or 28"},
            s.steps, 0, 1000);
  f.number({"guidance_scale",
            "classifier-free guidance; 1 and below (0, as some models are told): none, as in diffusers"},
           s.guidance_scale, 0.0, 100.0);
  f.object(
      {"guidance_interval",
       "guided steps, by index; the others cost half: conditional alone. heun's second velocity counts as "
       "the next step's"},
      [&](Fields& g) { describe_window(g, s.guidance_begin, s.guidance_size); });
  f.number({"guidance_rescale",
            "share of the guided velocity that is scaled to the deviation of the conditional one"},
           s.guidance_rescale, 0.0, 1.0);
  f.object({"schedule", "noise levels of the steps"}, [&](Fields& g) { describe(g, s.schedule); });
  describe(f, s.size);
}

void describe_noise_steps(Fields& f, SamplerSection& s) {
  f.object({"window", "steps that draw noise; the others follow the ODE"}, [&](Fields& w) {
    describe_window(w, s.window_begin, s.window_size);
    const auto until = [&](Fields& p) {
      p.integer({"until", "it ends at this step at the latest; 0: at the schedule's end"}, s.window_until, 0,
                1000);
    };
    const auto path = [&](Fields& p) {
      until(p);
      p.integer({"iterations", "at one place"}, s.window_iterations, 1, 1000000);
      p.integer({"stride", "steps from one place to the next"}, s.window_stride, 1, 1000);
    };
    w.variant({"policy", "where it lies in each iteration of training; always whole"}, s.window_policy,
              {{"fixed", "at begin", [](Fields&) {}},
               {"random", "drawn anew, from begin on", until},
               {"progressive", "moves from begin to the end, then anew (MixGRPO)", path},
               {"decay", "the same, with fewer iterations at late places", [&, path](Fields& p) {
                  path(p);
                  p.number({"decay", "k: iterations e^(-k (begin - decay_from)), one at least"},
                           s.window_decay, 0.0, 10.0);
                  p.integer({"decay_from", "first step of the fall"}, s.window_decay_from, 0, 999);
                }}});
  });
  f.number({"tail_ratio",
            "share of the steps after the window that is taken, by DPM-Solver++ 2M in its midpoint form "
            "(MixGRPO-Flash); 1: all, by Euler"},
           s.tail_ratio, 0.01, 1.0);
}

}  // namespace

void describe_window(Fields& f, int64_t& begin, int64_t& size) {
  f.integer({"begin", "first step"}, begin, 0, 999);
  f.integer({"size", "number of steps; 0: to the end"}, size, 0, 1000);
}

void check_window(int64_t begin, int64_t size, int64_t steps, const std::string& pointer) {
  if (begin >= steps)
    throw Error(pointer + "/begin", "is outside of the schedule: " + std::to_string(begin) + "; at most " +
                                        std::to_string(steps - 1) + ", the last step");
  if (begin + size > steps)
    throw Error(pointer + "/size", "reaches outside of the schedule: " + std::to_string(size) +
                                       " steps from step " + std::to_string(begin) + "; at most " +
                                       std::to_string(steps - begin) + ", or 0: to the end");
}

void describe(Fields& f, SizeSection& s) {
  f.integer({"height", "pixels"}, s.height, 1, 8192);
  f.integer({"width", "pixels"}, s.width, 1, 8192);
  f.integer({"frames", "1 for pictures"}, s.frames, 1, 1024);
}

void describe(Fields& f, ScheduleSection& s) {
  const auto shift = [&](Fields& v) { v.number({"shift", "k of k s / (1 + (k-1) s)"}, s.shift, 1e-3, 1e3); };
  f.variant({"name", "grid of noise levels"}, s.name,
            {{"model", "as the scheduler in the model's folder says", [](Fields&) {}},
             {"linear", "uniform from 1 to 0", [](Fields&) {}},
             {"shifted", "the uniform grid, shifted (DanceGRPO, Wan)", shift},
             {"sd3", "Stable Diffusion 3's, shifted twice", shift},
             {"flux", "FLUX.1's, shifted by the number of packed tokens", [](Fields&) {}},
             {"karras", "more steps at low noise", [&](Fields& v) {
                v.number({"rho", "exponent"}, s.rho, 0.1, 100.0);
                v.number({"sigma_min", "last noise level before 0"}, s.sigma_min, 1e-6, 0.9);
              }}});
}

Schedule schedule_of(const ScheduleSection& s, const std::function<Schedule(int64_t)>& of_model,
                     int64_t steps, const SizeSection& size) {
  if (s.name == "linear") return linear_schedule(steps);
  if (s.name == "shifted") return shifted_schedule(steps, s.shift);
  if (s.name == "sd3") return sd3_schedule(steps, s.shift);
  if (s.name == "flux") return flux_schedule(steps, std::max<int64_t>(size.height * size.width / 256, 1));
  if (s.name == "karras") return karras_schedule(steps, s.rho, s.sigma_min);
  return of_model(steps);
}

Schedule schedule_of(const ScheduleSection& s, const FlowModel& model, int64_t steps,
                     const SizeSection& size) {
  return schedule_of(
      s, [&](int64_t n) { return model.schedule(n, size.height, size.width); }, steps, size);
}

void check_schedule(const ScheduleSection& s, int64_t steps, const SizeSection& size,
                    const std::string& pointer) {
  if (s.name == "model") return;  // it is not loaded yet
  const auto sigmas = schedule_of(s, linear_schedule, steps, size).sigmas;
  for (size_t i = 1; i < sigmas.size(); ++i)
    if (!(sigmas[i] < sigmas[i - 1]))
      throw Error(pointer + "/name", "\"" + s.name + "\" has no " + std::to_string(steps) +
                                         " levels that differ at this size: step " + std::to_string(i - 1) +
                                         " goes from " + Json(sigmas[i - 1]).dump() + " to " +
                                         Json(sigmas[i]).dump() + "; take another schedule");
}

CfgOptions SamplerSection::guidance() const {
  return {guidance_scale, guidance_begin, guidance_size, guidance_rescale};
}

void describe(Fields& f, SamplerSection& s) {
  s.kind.describe(f, {"name", "sampler"}, sampler_table(), [&](SamplerKind& kind, Fields& beside) {
    describe_common(beside, s);
    kind.describe(beside, [&](Fields& g) { describe_noise_steps(g, s); });
  });
}

namespace {

int64_t window_until(const SamplerSection& s) {
  return s.window_until == 0 ? s.steps : s.window_until;
}

}  // namespace

void check_sampler(const SamplerSection& s) {
  check_window(s.guidance_begin, s.guidance_size, s.steps, "/sampler/guidance_interval");
  check_window(s.window_begin, s.window_size, s.steps, "/sampler/window");
  const auto least = s.window_begin + std::max<int64_t>(s.window_size, 1);
  if (s.window_until > s.steps || window_until(s) < least)
    throw Error("/sampler/window/until", "must be from " + std::to_string(least) +
                                             ", the end of the first window, to " + std::to_string(s.steps) +
                                             ", the number of steps, or 0");
  check_schedule(s.schedule, s.steps, s.size, "/sampler/schedule");
}

StepWindow step_window(const SamplerSection& s, uint64_t seed, int64_t iteration) {
  const bool moves = s.window_policy != "fixed";
  const int64_t until = moves ? window_until(s) : s.steps;
  const int64_t size = s.window_size == 0 ? until - s.window_begin : s.window_size;
  WindowPath path{.first = s.window_begin,
                  .size = size,
                  .steps = until,
                  .stay = s.window_iterations,
                  .stride = s.window_stride,
                  .decay = 0.0,
                  .decay_from = s.window_decay_from};
  if (s.window_policy == "random") return random_window(path, seed, iteration);
  if (s.window_policy == "progressive") return progressive_window(path, iteration);
  path.decay = s.window_decay;
  if (s.window_policy == "decay") return progressive_window(path, iteration);
  return {s.window_begin, s.window_begin + size};
}

Kernel kernel_of(const SamplerSection& s, StepWindow window) {
  auto kernel = s.kind->kernel();
  if (!kernel) throw Error("/sampler/name", "\"" + s.kind.name() + "\" is not made of one-step transitions");
  return s.kind->log_prob() ? windowed(std::move(kernel), window) : kernel;
}

bool draws_noise(const SamplerSection& s) {
  // Float32 rounds latents to 1e-7 and v to 1e-3 in 16 bit: noise below this is that, and a log-probability
  // of it says nothing.
  constexpr double kLeastNoise = 1e-4;
  return s.kind->log_prob() && s.kind->kernel()({{1.0, 0.5, 0.0}}, 0).std >= kLeastNoise;
}

void require_noise(const SamplerSection& s, const std::string& what) {
  if (!s.kind->log_prob()) {
    std::vector<std::string> known;
    for (const auto& row : sampler_table())
      if (row.make()->log_prob()) known.emplace_back(row.name);
    throw Error("/sampler/name",
                what + " needs the log-probabilities of a stochastic sampler; use one of " + join(known));
  }
  if (!draws_noise(s))
    throw Error("/sampler/noise_level",
                "must be above 0, and more than rounding: without noise there is no log-probability");
}

LogProb log_prob_of(const SamplerSection& s) {
  require_noise(s, "this job");
  return s.kind->log_prob();
}

std::vector<std::string> sde_samplers() {
  std::vector<std::string> names;
  for (const auto& row : sampler_table())
    if (const auto kind = row.make(); kind->log_prob() && kind->keeps_marginals())
      names.emplace_back(row.name);
  return names;
}

namespace {
bool has_shorter_tail(const SamplerSection& s, StepWindow window, const Schedule& schedule) {
  return s.kind->kernel() && s.tail_ratio < 1.0 && window.end < schedule.steps();
}
}  // namespace

Schedule taken_schedule(const SamplerSection& s, StepWindow window, const Schedule& schedule) {
  return has_shorter_tail(s, window, schedule) ? with_shorter_tail(schedule, window.end, s.tail_ratio)
                                               : schedule;
}

Trajectory draw_samples(const SamplerInput& in, const SamplerSection& s, StepWindow window,
                        const std::vector<int64_t>& trained_steps) {
  if (trained_steps.empty() && !s.kind->kernel()) return {in.schedule, s.kind->solve(in), {}, {}, {}, {}};
  const auto kernel = kernel_of(s, window);
  const auto form = trained_steps.empty() ? LogProb(gaussian) : log_prob_of(s);
  if (has_shorter_tail(s, window, in.schedule))
    return sample_with_shorter_tail(in, kernel, window.end, s.tail_ratio, trained_steps, form);
  return sample_transitions(in, kernel, trained_steps, form);
}

}  // namespace thalweg
