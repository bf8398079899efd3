#include "pipelines/align/options.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "pipelines/align/method.h"

namespace thalweg {
namespace {

void describe_groups(Fields& f, int64_t& prompts, int64_t& group_size, int64_t& updates, double& adv_clip_max,
                     bool& global_std) {
  f.integer({"prompts_per_iteration", "groups of one rollout"}, prompts, 1, 100000);
  f.integer({"group_size", "samples a prompt"}, group_size, 2, 4096);
  f.integer({"updates", "optimizer steps a rollout, each on its own share of the groups"}, updates, 1, 1000);
  f.number({"adv_clip_max", "advantages are clamped to +- this"}, adv_clip_max, 1e-3, 1e3);
  f.boolean({"global_std", "divide by the deviation of all samples instead of the group's"}, global_std);
}

}  // namespace

void describe(Fields& f, FlowGrpoOptions& o) {
  describe_groups(f, o.prompts_per_iteration, o.group_size, o.updates, o.adv_clip_max, o.global_std);
  f.number({"clip_range", "PPO clip of the ratio; small because log-probs are means over latent elements"},
           o.clip_range, 1e-9, 10.0);
  f.number({"kl_beta", "weight of the KL term against the model as loaded"}, o.kl_beta, 0.0, 1e3);
  f.choice(
      {"kl_scale",
       "divide the squared mean difference by 2 g^2 (diffusion, Flow-GRPO) or by 2 std^2 (std, the true KL)"},
      o.kl_scale, {"diffusion", "std"});
}

void describe(Fields& f, DiffusionNftOptions& o) {
  describe_groups(f, o.prompts_per_iteration, o.group_size, o.updates, o.adv_clip_max, o.global_std);
  f.integer({"times_per_sample", "sigmas of the schedule a sample is trained at"}, o.times_per_sample, 1,
            1000);
  f.number({"beta", "guidance strength b of v+ and v-"}, o.beta, 1e-3, 10.0);
  f.number({"kl_beta", "weight of the squared velocity difference to the model as loaded"}, o.kl_beta, 0.0,
           1e3);
  f.object(
      {"old_policy", "decay = min(rate (iteration - start), maximum): how slowly the rollout policy follows"},
      [&](Fields& d) {
        d.number({"rate", "growth of the decay an iteration; 0: no lag"}, o.old_decay_rate, 0.0, 1.0);
        d.integer({"start", "iterations before it grows"}, o.old_decay_start, 0, 1000000);
        d.number({"maximum", "largest decay"}, o.old_decay_maximum, 0.0, 1.0);
      });
}

double OptimizerSection::rate_at(int64_t iteration, int64_t iterations) const {
  const double u = static_cast<double>(iteration) / static_cast<double>(std::max<int64_t>(iterations, 1));
  double factor = 1.0;
  if (schedule == "linear") factor = 1.0 - u;
  if (schedule == "cosine") factor = 0.5 * (1.0 + std::cos(std::numbers::pi * u));
  if (iteration < warmup_iterations)
    factor *= static_cast<double>(iteration + 1) / static_cast<double>(warmup_iterations);
  return learning_rate * factor;
}

void describe(Fields& f, OptimizerSection& o) {
  f.choice({"name", "optimizer"}, o.name, {"adamw"});
  f.number({"learning_rate", "at its largest"}, o.learning_rate, 0.0, 1.0);
  f.choice({"schedule", "of the learning rate over the iterations"}, o.schedule,
           {"constant", "linear", "cosine"});
  f.integer({"warmup_iterations", "iterations of linear growth"}, o.warmup_iterations, 0, 1000000);
  f.number({"beta1", "decay of the first moment"}, o.beta1, 0.0, 1.0);
  f.number({"beta2", "decay of the second moment"}, o.beta2, 0.0, 1.0);
  f.number({"eps", "added to the root of the second moment"}, o.eps, 1e-16, 1.0);
  f.number({"weight_decay", "decoupled"}, o.weight_decay, 0.0, 10.0);
  f.number({"max_grad_norm", "gradient clipping"}, o.max_grad_norm, 1e-9, 1e9);
}

void describe(Fields& f, EvaluateSection& e) {
  f.integer({"every", "iterations between evaluations"}, e.every, 1, 1000000);
  f.integer({"steps", "ODE steps"}, e.steps, 1, 1000);
  f.number({"guidance_scale", "of the policy, before and after"}, e.guidance_scale, 0.0, 100.0);
  f.list({"baselines", "the model as loaded at other guidance scales, in the final table"},
         e.base_guidance_scales, [](Fields& b, double& scale) {
           b.number({"guidance_scale", "of the base model", true}, scale, 0.0, 100.0);
         });
  f.text({"metric", "reward that chooses the checkpoint, \"plugin/dimension\"; absent: the combined reward"},
         e.metric);
  f.integer({"pictures", "held-out pictures shown in the report"}, e.pictures, 0, 1024);
}

void describe(Fields& f, AlignOptions& o) {
  f.text({"name", "of the run, in its report and in the exported LoRA; empty: method and model"}, o.name);
  f.object({"model", "what is aligned", true}, [&](Fields& m) { describe(m, o.model); });
  f.object({"prompts", "files of prompts", true}, [&](Fields& p) {
    p.text({"train", "prompts of the rollouts", true}, o.train_prompts);
    p.text({"select", "held-out prompts that choose the checkpoint", true}, o.select_prompts);
    p.text({"eval", "held-out prompts that are reported, before and after; none of the above", true},
           o.eval_prompts);
  });
  f.object({"sampler", "of the rollouts"}, [&](Fields& s) { describe(s, o.sampler); });
  f.list({"rewards", "what to align with", true}, o.rewards,
         [](Fields& r, RewardSpec& spec) { describe(r, spec); });
  f.object({"combine", "several rewards to one"}, [&](Fields& c) { describe(c, o.combine); });
  f.object({"method", "how to align", true}, [&](Fields& m) {
    std::vector<Fields::Alternative> alternatives;
    for (const auto& row : method_table())
      alternatives.push_back({row.name, row.doc, [&o, &row](Fields& v) { row.describe(v, o); }});
    m.variant({"name", "method", true}, o.method, alternatives);
  });
  f.object({"optimizer", "of the policy's parameters"}, [&](Fields& p) { describe(p, o.optimizer); });
  f.number(
      {"ema_decay", "average of the parameters that is evaluated and saved; 0: the parameters themselves"},
      o.ema_decay, 0.0, 1.0);
  f.integer({"iterations", "rollouts"}, o.iterations, 1, 10000000);
  f.object({"evaluate", "held-out evaluation"}, [&](Fields& e) { describe(e, o.evaluate); });
  f.object({"monitors", "what raises an alarm (events.jsonl, report); 0 turns one off"},
           [&](Fields& m) { describe(m, o.monitors); });
  f.object({"checkpoint", "where a stopped run goes on"}, [&](Fields& c) { describe(c, o.checkpoint); });
  f.object({"parallel", "how the work is cut"}, [&](Fields& p) { describe(p, o.parallel); });
  describe_device(f, o.device);
  f.integer({"seed", "of everything"}, o.seed, 0, INT64_MAX);
  f.text({"output", "folder of the run", true}, o.output);
}

}  // namespace thalweg
