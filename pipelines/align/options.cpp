#include "pipelines/align/options.h"

#include <set>
#include <utility>

#include "pipelines/resume.h"

namespace thalweg {
namespace {

std::vector<InputFile> inputs_of(const AlignOptions& o) {
  std::vector<InputFile> inputs;
  add_inputs(inputs, o.model);
  std::set<std::string> of_folder;
  for (const auto& file : {o.prompts.to_train(), o.prompts.to_select(), o.prompts.to_eval()})
    if (file.pointer != PromptFiles::kFolder || of_folder.insert(file.path).second)
      inputs.push_back({file.pointer, file.path});
  if (const auto teacher = o.method->teacher(); !teacher.empty())
    inputs.push_back({"/method/teacher", teacher});
  if (const auto source = o.method->pictures(); source.given())
    for (auto& picture : picture_files(o.prompts.to_train(), source).inputs)
      inputs.push_back(std::move(picture));
  add_inputs(inputs, o.rewards);
  return inputs;
}

}  // namespace

void describe(Fields& f, EvaluateSection& e) {
  f.integer({"every", "iterations between evaluations"}, e.every, 1, 1000000);
  f.integer(
      {"steps",
       "ODE steps; 0: those of /sampler/steps where the method makes a few-step generator or the model is "
       "one, else 28"},
      e.steps, 0, 1000);
  f.number({"guidance_scale", "of the policy, before and after; 1 and below: none"}, e.guidance_scale, 0.0,
           100.0);
  f.list({"baselines", "the reference at other guidance scales, in the final table"}, e.base_guidance_scales,
         [](Fields& b, double& scale) {
           b.number({"guidance_scale", "of the reference", true}, scale, 0.0, 100.0);
         });
  f.text({"metric", "reward that chooses the checkpoint, \"plugin/dimension\"; absent: the combined reward"},
         e.metric);
  f.integer({"pictures", "held-out pictures shown in the report"}, e.pictures, 0, 1024);
  f.optional_object(
      {"early_stop",
       "ends the run when the metric no longer rises; exported is the best evaluation's all the "
       "same; absent: never"},
      e.early_stop.present, [&](Fields& s) { describe(s, e.early_stop); });
}

void describe(Fields& f, ExportSection& e) {
  f.choice({"dtype", "of the exported LoRA or model; the final evaluation is of the weights as exported"},
           e.dtype, {"float32", "bfloat16", "float16"});
}

void describe(Fields& f, AlignOptions& o) {
  f.text({"name", "of the run, in its report and in the exported LoRA; empty: method and model"}, o.name);
  f.object({"model", "what is aligned", true}, [&](Fields& m) { describe(m, o.model); });
  f.object({"prompts", "files of prompts", true}, [&](Fields& p) { describe(p, o.prompts); });
  f.text({"negative_prompt",
          "what guidance leads away from in rollouts, training and evaluations, instead of the empty prompt; "
          "refused where nothing is guided"},
         o.negative_prompt);
  f.object({"sampler", "of the rollouts"}, [&](Fields& s) { describe(s, o.sampler); });
  f.object({"video", "samples of several frames, those of evaluations among the files"},
           [&](Fields& v) { describe(v, o.video); });
  f.list({"rewards", "what to align with", true}, o.rewards,
         [](Fields& r, RewardSpec& spec) { describe(r, spec); });
  f.object({"combine", "several rewards to one"}, [&](Fields& c) { describe(c, o.combine); });
  f.object({"failed_rewards", "what is done where rewards leave samples without a value, which are masked"},
           [&](Fields& r) { describe(r, o.failed_rewards); });
  f.object({"method", "how to align", true}, [&](Fields& m) {
    o.method.describe(m, {"name", "method", true}, method_table(), [&](Method& method, Fields& beside) {
      method.describe(beside);
      if (method.denoises())
        beside.boolean(
            {"force", "train a model that is a few-step generator all the same: its loss blurs it"}, o.force);
    });
  });
  f.object({"optimizer", "of the policy's parameters"}, [&](Fields& p) { describe(p, o.optimizer); });
  f.number(
      {"ema_decay", "average of the parameters that is evaluated and saved; 0: the parameters themselves"},
      o.ema_decay, 0.0, 1.0);
  f.choice({"reference",
            "what gains, baselines, KL terms and alarms are measured against: the model as loaded, with the "
            "LoRA of /model/lora/path; or that model without it"},
           o.reference, {"loaded", "base"});
  f.integer(
      {"iterations",
       "rollouts; where the learning rate's schedule is constant, a run may be given more of them later"},
      o.iterations, 1, 10000000);
  f.object({"evaluate", "held-out evaluation"}, [&](Fields& e) { describe(e, o.evaluate); });
  f.object({"monitors", "what raises an alarm (events.jsonl, report); 0 turns one off"},
           [&](Fields& m) { describe(m, o.monitors); });
  f.object({"checkpoint", "where a stopped run goes on"}, [&](Fields& c) { describe(c, o.checkpoint); });
  f.object({"export", "weights that are left to be loaded elsewhere"},
           [&](Fields& e) { describe(e, o.export_); });
  f.object({"parallel", "how the work is cut"}, [&](Fields& p) { describe(p, o.parallel); });
  describe(f, o.device);
  f.integer({"seed", "of everything"}, o.seed, 0, INT64_MAX);
  f.text({"output", "folder of the run", true}, o.output);
}

Json align_identity(const AlignOptions& options) {
  AlignOptions copy = options;
  return run_identity([&](Fields& f) { describe(f, copy); }, inputs_of(options));
}

}  // namespace thalweg
