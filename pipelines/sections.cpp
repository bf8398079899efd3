#include "pipelines/sections.h"

#include <algorithm>
#include <filesystem>
#include <thread>
#include <utility>

#include "engine/core/device.h"
#include "engine/core/dtypes.h"
#include "engine/core/error.h"
#include "engine/core/path.h"
#include "engine/models/guidance_input.h"
#include "rewards/open_reward.h"

namespace thalweg {
ModelOptions ModelSection::options(at::Device device) const {
  ModelOptions options;
  options.dtype = dtype_named(dtype);
  options.vae_dtype = dtype_named(vae_dtype);
  if (max_sequence_length >= 0) options.max_sequence_length = max_sequence_length;
  options.device = device;
  options.activation_checkpointing = activation_checkpointing;
  options.variant = variant;
  if (embedded_guidance > 0.0) options.embedded_guidance = embedded_guidance;
  options.scheduler = lora_scheduler(*this);
  return options;
}

void describe(Fields& f, DeviceSection& d) {
  f.text({"device",
          "where to compute: cpu, cuda (the first NVIDIA GPU that the process sees) or cuda:N, N from 0"},
         d.name);
  f.boolean(
      {"deterministic",
       "on a GPU: only operations that give the same bits every time, which are slower; one that has no such "
       "form is an error. On a CPU it is always so"},
      d.deterministic);
}

at::Device DeviceSection::require() const {
  return device_named(name, "/device");
}

at::Device DeviceSection::open(const Observer& observer) const {
  const auto opened = require();
  fix_numerics(opened, deterministic);
  use_device(opened);
  if (opened.is_cuda() && !deterministic)
    observer.message(
        "on a GPU the last bits may differ from run to run, and a resumed run from an undisturbed one; "
        "\"deterministic\": true makes them the same");
  return opened;
}

void describe(Fields& f, ModelSection& m) {
  f.text({"path", "folder in the diffusers layout", true}, m.path);
  f.text({"variant",
          "files of weights to read, as diffusers names them: \"fp16\" for *.fp16.safetensors; a "
          "component without such gives its plain ones; empty: the plain ones"},
         m.variant);
  f.choice({"dtype", "compute dtype of transformer and text encoders"}, m.dtype, {"float32", "bfloat16"});
  f.choice({"vae_dtype", "compute dtype of the VAE"}, m.vae_dtype, {"float32", "bfloat16"});
  f.integer({"max_sequence_length",
             "T5 tokens, or zero tokens in their place when the model has no T5; -1: as many as the family's "
             "pipeline takes, 256 of Stable Diffusion 3, 512 of FLUX.1 and Wan"},
            m.max_sequence_length, -1, 4096);
  f.number({"embedded_guidance",
            "guidance scale that a network with an input for it is told, in training too (FLUX.1-dev; "
            "\"guidance_scale\" is classifier-free guidance, beside it); 0: 3.5"},
           m.embedded_guidance, 0.0, 100.0);
  f.boolean(
      {"activation_checkpointing",
       "training keeps the inputs of each block and runs the block again in the backward pass: the same "
       "numbers, less memory, more time"},
      m.activation_checkpointing);
  f.optional_object({"lora", "low-rank adapter; absent: full fine-tuning"}, m.has_lora, [&](Fields& l) {
    l.text({"path", "LoRA to start from: a file, or a folder of PEFT or diffusers; its scale replaces alpha"},
           m.lora.path);
    l.integer({"rank", "rank of the update, at least that of the file to start from"}, m.lora.rank, 1, 4096);
    l.number({"alpha", "the update is scaled by alpha / rank"}, m.lora.alpha, 1e-6, 1e6);
    l.numbers(
        {"rank_pattern",
         "rank of some layers: ends of their names, or regular expressions of such, as PEFT takes them; "
         "the first that fits counts"},
        m.lora.rank_pattern, 1, 4096);
    l.numbers({"alpha_pattern",
               "alpha of some layers, likewise; a layer's scale is its own alpha / rank. A file's scales "
               "replace it too"},
              m.lora.alpha_pattern, 1e-6, 1e6);
    l.texts({"targets", "linear layers, as ends of their names; empty: the family's default"},
            m.lora.targets);
    l.choice({"text_encoders",
              "what is done with the part of a file that adapts text encoders, which is not supported"},
             m.lora.text_encoders, {"refuse", "ignore"});
  });
  f.object({"prompt_cache", "encoded prompts, kept for later runs; the numbers do not depend on it"},
           [&](Fields& c) {
             c.text({"folder",
                     "several runs may share one; empty: $XDG_CACHE_HOME/thalweg/prompts, or "
                     "~/.cache/thalweg/prompts"},
                    m.prompt_cache.folder);
             c.number({"max_gb", "what was not used for longest is removed beyond this; 0: nothing is kept"},
                      m.prompt_cache.max_gb, 0.0, 1e6);
           });
}

void describe_loras(Fields& f, ModelSection& m) {
  f.list({"loras",
          "several LoRAs in place of `lora`, their updates added up by weight: a mixture of heads, say; "
          "empty: none"},
         m.loras, [](Fields& l, AddedLora& added) {
           l.text({"path", "a file, or a folder of PEFT or diffusers; rank and scale are its own", true},
                  added.lora.path);
           l.number({"weight", "what its update is multiplied by, beside its own scale"}, added.weight,
                    -100.0, 100.0);
           l.choice({"text_encoders",
                     "what is done with the part of the file that adapts text encoders, which is not "
                     "supported"},
                    added.lora.text_encoders, {"refuse", "ignore"});
         });
}

int64_t ParallelSection::worker_count(at::Device device) const {
  if (device.is_cuda()) return 1;
  const auto cores = static_cast<int64_t>(std::max(1u, std::thread::hardware_concurrency()));
  return workers > 0 ? workers : cores;
}

void describe(Fields& f, ParallelSection& p) {
  f.integer({"workers", "threads that take micro-batches; 0: one a core. The numbers do not depend on it"},
            p.workers, 0, 1024);
  f.integer({"lanes", "sums of gradients that are added at the end; part of the numbers"}, p.lanes, 1, 1024);
  f.integer({"micro_batch", "samples of one forward"}, p.micro_batch, 1, 65536);
}

void describe(Fields& f, CheckpointSection& c) {
  f.integer({"every", "iterations between checkpoints"}, c.every, 1, 1000000);
  f.integer({"keep", "newest checkpoints kept, beside that of the best held-out evaluation"}, c.keep, 1,
            100000);
}

void describe(Fields& f, CombineSection& c) {
  f.choice({"name", "how several rewards become one"}, c.name, {"weighted"});
}

PromptList read_prompts(const PromptFile& file, int64_t limit) {
  require_file(file.path, file.pointer);
  PromptList list;
  for (auto& line : read_prompt_lines(file, limit)) {
    list.prompts.push_back(std::move(line.prompt));
    list.metadata_json.push_back(std::move(line.metadata_json));
  }
  return list;
}

void require_file(const std::string& path, const std::string& pointer) {
  std::error_code ec;
  if (!std::filesystem::exists(path, ec))
    throw Error(pointer, "\"" + path + "\" does not exist (paths are relative to the working directory)");
}

void require_model(const ModelSection& model) {
  require_file(model.path, "/model/path");
  require_file(model.path + "/model_index.json", "/model/path");
  if (model.embedded_guidance > 0.0 && !has_guidance_input(model.path))
    throw Error("/model/embedded_guidance",
                "the network of " + model.path +
                    " has no input for it (\"guidance_embeds\" in transformer/config.json); leave it out");
  if (!model.has_lora) return;
  if (!model.lora.path.empty()) require_file(model.lora.path, "/model/lora/path");
  require_lora_patterns(model.lora);
}

void require_outside(const std::string& output, const ModelSection& model) {
  if (lies_in(model.path, output))
    throw Error("/output",
                "\"" + output + "\" lies inside of the model's folder, " + model.path +
                    ": what the run writes would become a part of the model. Choose one elsewhere");
}

void require_guided(const std::string& negative_prompt, const std::vector<double>& guidance_scales) {
  const bool guided =
      std::any_of(guidance_scales.begin(), guidance_scales.end(), [](double s) { return s > 1.0; });
  if (!negative_prompt.empty() && !guided)
    throw Error(
        "/negative_prompt",
        "is read by nothing: this job draws without guidance. Set a guidance_scale above 1, or leave it "
        "out");
}

std::unique_ptr<RewardSet> make_rewards(const std::vector<RewardSpec>& specs, const ScoredSize& samples,
                                        int64_t max_batch, int64_t seed, at::Device device,
                                        const RewardLog& log) {
  Activation activation;
  activation.log = log;
  activation.device = device;
  activation.max_batch = max_batch;
  activation.frames = samples.size.frames;
  activation.height = samples.size.height;
  activation.width = samples.size.width;
  activation.seed = static_cast<uint64_t>(seed);
  return std::make_unique<RewardSet>(open_rewards(specs, installed_plugin_dirs(), activation), samples.fps);
}

void require_plugins(const std::vector<RewardSpec>& specs, const std::vector<RewardUse>& steered) {
  for (const auto& spec : specs) {
    locate(spec, installed_plugin_dirs());
    if (spec.frames.single()) inspect_reward(spec, installed_plugin_dirs());  // may refuse single frames
    const auto use = use_of(spec);
    const bool steers = use == RewardUse::guide || use == RewardUse::process;
    if (steers && std::find(steered.begin(), steered.end(), use) == steered.end())
      throw Error(
          spec.pointer + "/use",
          "\"" + std::string(name_of(use)) + "\" is for steering by " +
              (use == RewardUse::guide ? "clean estimates" : "values of noisy latents") +
              ", and nothing of this job does that; write \"train\" to have the reward in the combined "
              "one, or \"watch\" to score it for the curves alone");
  }
}

}  // namespace thalweg
