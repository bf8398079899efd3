#include "pipelines/sampling/options.h"

#include "pipelines/resume.h"
#include "pipelines/sampling/store.h"

namespace thalweg {

void describe(Fields& f, SampleOptions& o) {
  f.object({"model", "what to sample from", true}, [&](Fields& m) {
    describe(m, o.model);
    describe_loras(m, o.model);
  });
  f.object({"prompts", "what to draw", true}, [&](Fields& p) { describe(p, o.prompts); });
  f.text({"negative_prompt", "what guidance leads away from; refused where there is none"},
         o.negative_prompt);
  f.integer({"images_per_prompt", "pictures a prompt, each from its own noise"}, o.images_per_prompt, 1,
            100000);
  f.object({"sampler", "how to draw"}, [&](Fields& s) { describe(s, o.sampler); });
  f.list(
      {"steering", "how samples are led to the rewards: guidance, in order, and one way of sampling at most"},
      o.steering, [](Fields& s, SteeringEntry& entry) { describe(s, entry); });
  f.text({"latents",
          "initial noise: safetensors with `latents` [N,C,H,W] or [N,C,F,H,W], in prompt order, the "
          "particles of a "
          "sample in a row"},
         o.latents);
  f.boolean({"save_images", "a PNG file a sample, of several frames an MP4 file (see video), and a grid"},
            o.save_images);
  f.object({"video", "samples of several frames"}, [&](Fields& v) { describe(v, o.video); });
  f.boolean({"save_latents",
             "latents.safetensors: `latents` in the model's dtype (float32; float64 of a mixture), of the "
             "rank of the "
             "initial noise; with all particles of a steered sample, `log_weights` and `ancestors` too"},
            o.save_latents);
  f.boolean({"save_frames", "frames.safetensors: `frames` [N,F,3,H,W] in [0,1]"}, o.save_frames);
  f.list({"rewards", "scores of what was drawn, and what steering follows (see use)"}, o.rewards,
         [](Fields& r, RewardSpec& spec) { describe(r, spec); });
  f.object({"combine", "several rewards to one"}, [&](Fields& c) { describe(c, o.combine); });
  describe_checkpoint(f, o.checkpoint_s);
  f.object({"parallel", "how the work is cut"}, [&](Fields& p) { describe(p, o.parallel); });
  describe(f, o.device);
  f.integer({"seed", "of the noise"}, o.seed, 0, INT64_MAX);
  f.text({"output", "folder of the run", true}, o.output);
}

Json sample_identity(const SampleOptions& o) {
  std::vector<InputFile> inputs;
  add_inputs(inputs, o.model);
  if (!o.prompts.path.empty()) inputs.push_back({"/prompts/path", o.prompts.path});
  if (!o.latents.empty()) inputs.push_back({"/latents", o.latents});
  add_inputs(inputs, o.rewards);
  SampleOptions copy = o;
  return run_identity([&](Fields& f) { describe(f, copy); }, inputs);
}

}  // namespace thalweg
