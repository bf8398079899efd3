#include "pipelines/evaluate/options.h"

#include <algorithm>

#include "pipelines/generator_steps.h"
#include "pipelines/models.h"
#include "pipelines/resume.h"
#include "pipelines/sampling/store.h"
#include "rewards/open_reward.h"
#include "rewards/plugin.h"

namespace thalweg {

void describe(Fields& f, EvaluateOptions& o) {
  f.object({"model", "what is evaluated", true}, [&](Fields& m) {
    describe(m, o.model);
    describe_loras(m, o.model);
  });
  f.object({"prompts", "held-out prompts", true}, [&](Fields& p) { describe(p, o.prompts); });
  f.text({"negative_prompt", "what guidance leads away from; refused where there is none"},
         o.negative_prompt);
  f.object({"size", "of the pictures"}, [&](Fields& s) { describe(s, o.size); });
  f.integer({"steps", "ODE steps; 0: those of the model where it is a few-step generator, or 28"}, o.steps, 0,
            1000);
  f.object({"schedule", "noise levels of the steps"}, [&](Fields& s) { describe(s, o.schedule); });
  f.list(
      {"guidance", "one evaluation each; absent: guidance_scale 1"}, o.guidance_scales,
      [](Fields& g, double& scale) {
        g.number({"guidance_scale", "classifier-free guidance; 1 and below: none", true}, scale, 0.0, 100.0);
      });
  f.list({"rewards", "what to score", true}, o.rewards,
         [](Fields& r, RewardSpec& spec) { describe(r, spec); });
  f.object({"combine", "several rewards to one"}, [&](Fields& c) { describe(c, o.combine); });
  f.integer({"pictures", "first pictures written as a grid for each guidance scale"}, o.pictures, 0, 1024);
  describe_rate(f, o.video);
  describe_checkpoint(f, o.checkpoint_s);
  f.object({"parallel", "how the work is cut"}, [&](Fields& p) { describe(p, o.parallel); });
  describe(f, o.device);
  f.integer({"seed", "of the noise"}, o.seed, 0, INT64_MAX);
  f.text({"output", "folder of the run", true}, o.output);
}

Json evaluate_identity(const EvaluateOptions& o) {
  std::vector<InputFile> inputs;
  add_inputs(inputs, o.model);
  if (!o.prompts.path.empty()) inputs.push_back({"/prompts/path", o.prompts.path});
  add_inputs(inputs, o.rewards);
  EvaluateOptions copy = o;
  return run_identity([&](Fields& f) { describe(f, copy); }, inputs);
}

std::vector<double> scales_of(const EvaluateOptions& o) {
  return o.guidance_scales.empty() ? std::vector<double>{1.0} : o.guidance_scales;
}

JobLoad evaluate_load(const EvaluateOptions& o) {
  const auto prompts = static_cast<double>(o.prompts.read().prompts.size());
  JobLoad load;
  load.model = o.model;
  load.size = o.size;
  load.parallel = o.parallel;
  load.scored_elsewhere = scores_elsewhere(o.rewards, installed_plugin_dirs());
  const auto schedule = planned_schedule(o.schedule, o.model, o.steps, o.size);
  for (const double scale : scales_of(o))
    load.draws.push_back(
        draw_load("rollout", prompts, ode_settings(o.steps, scale, schedule), o.parallel.micro_batch));
  load.prompts = load.encoded = prompts;
  load.kept_pictures = kEightBit * std::min(static_cast<double>(o.pictures), prompts);
  load.stored_samples = prompts;
  load.stored_latents = 1.0;
  return load;
}

}  // namespace thalweg
