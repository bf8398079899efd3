#include "pipelines/train_reward/options.h"

#include "pipelines/resume.h"

namespace thalweg {

void describe(Fields& f, LearnedEvaluateSection& e) {
  f.integer({"every", "iterations between evaluations on the prompts of /prompts/select"}, e.every, 1,
            1000000);
  f.integer({"prompts", "first ones of /prompts/select and /prompts/eval that are taken; 0: all"}, e.prompts,
            0, 10000000);
  f.integer({"group_size", "samples a held-out prompt"}, e.group_size, 2, 4096);
  f.integer({"levels", "noise levels, spread evenly between 0 and 1: 9 are 0.1 to 0.9"}, e.levels, 1, 99);
}

void describe(Fields& f, TrainRewardOptions& o) {
  f.text({"name", "of the run, in its report"}, o.name);
  f.object({"model", "what draws the samples; it is not trained", true}, [&](Fields& m) {
    describe(m, o.model);
    describe_loras(m, o.model);
  });
  f.object({"prompts", "files of prompts", true}, [&](Fields& p) { describe(p, o.prompts); });
  f.text({"negative_prompt", "what guidance leads away from; refused where nothing is guided"},
         o.negative_prompt);
  f.object({"sampler", "of the rollouts"}, [&](Fields& s) { describe(s, o.sampler); });
  describe_rate(f, o.video);
  f.list({"rewards", "the outcome: what finished samples are worth", true}, o.rewards,
         [](Fields& r, RewardSpec& spec) { describe(r, spec); });
  f.object({"combine", "several rewards to one"}, [&](Fields& c) { describe(c, o.combine); });
  f.object({"failed_rewards", "what is done where rewards leave samples without a value, which are masked"},
           [&](Fields& r) { describe(r, o.failed_rewards); });
  f.object({"learner", "what is learned, and how", true}, [&](Fields& l) {
    o.learner.describe(l, {"name", "learner", true}, learner_table());
  });
  f.object({"optimizer", "of the learned parameters"}, [&](Fields& p) { describe(p, o.optimizer); });
  f.number(
      {"ema_decay", "average of the parameters that is evaluated and saved; 0: the parameters themselves"},
      o.ema_decay, 0.0, 1.0);
  f.integer({"iterations", "rollouts, each with its updates"}, o.iterations, 1, 10000000);
  f.object({"evaluate", "held-out evaluation"}, [&](Fields& e) { describe(e, o.evaluate); });
  f.object({"checkpoint", "where a stopped run goes on"}, [&](Fields& c) { describe(c, o.checkpoint); });
  f.object({"parallel", "how the work is cut"}, [&](Fields& p) { describe(p, o.parallel); });
  describe(f, o.device);
  f.integer({"seed", "of everything"}, o.seed, 0, INT64_MAX);
  f.text({"output", "folder of the run", true}, o.output);
}

Json train_reward_identity(const TrainRewardOptions& options) {
  TrainRewardOptions copy = options;
  std::vector<InputFile> inputs;
  add_inputs(inputs, options.model);
  for (const auto& file :
       {options.prompts.to_train(), options.prompts.to_select(), options.prompts.to_eval()})
    if (file.pointer != PromptFiles::kFolder || inputs.back().pointer != PromptFiles::kFolder)
      inputs.push_back({file.pointer, file.path});
  add_inputs(inputs, options.rewards);
  return run_identity([&](Fields& f) { describe(f, copy); }, inputs);
}

}  // namespace thalweg
