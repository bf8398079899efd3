#include "pipelines/sample.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/io/image.h"
#include "engine/weights/safetensors.h"
#include "pipelines/plan/measure.h"
#include "pipelines/plan/scratch.h"
#include "pipelines/scoring.h"
#include "pipelines/stages/latents_file.h"
#include "pipelines/stages/reward_failures.h"
#include "pipelines/stages/rollout.h"
#include "pipelines/steering/reward_value.h"
#include "pipelines/steering/steering.h"
#include "pipelines/steering/summary.h"
#include "rewards/plugin.h"
#include "samplers/guidance/cfg.h"

namespace thalweg {
namespace {

struct SampleOptions {
  ModelSection model;
  PromptSection prompts;
  SamplerSection sampler;
  std::vector<SteeringEntry> steering;
  std::vector<RewardSpec> rewards;
  CombineSection combine;
  ParallelSection parallel;
  std::string negative_prompt, latents, device = "cpu", output;
  bool save_latents = false, save_frames = false, save_images = true;
  int64_t images_per_prompt = 1, seed = 0;
};

void describe_sample(Fields& f, SampleOptions& o) {
  f.object({"model", "what to sample from", true}, [&](Fields& m) { describe(m, o.model); });
  f.object({"prompts", "what to draw", true}, [&](Fields& p) { describe(p, o.prompts); });
  f.text({"negative_prompt", "what guidance leads away from"}, o.negative_prompt);
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
  f.boolean({"save_images", "PNG files and a grid"}, o.save_images);
  f.boolean({"save_latents",
             "latents.safetensors: `latents` in the model's dtype (float32; float64 of a mixture), of the "
             "rank of the "
             "initial noise; with all particles of a steered sample, `log_weights` and `ancestors` too"},
            o.save_latents);
  f.boolean({"save_frames", "frames.safetensors: `frames` [N,F,3,H,W] in [0,1]"}, o.save_frames);
  f.list({"rewards", "scores of what was drawn; those with a weight are what steering follows"}, o.rewards,
         [](Fields& r, RewardSpec& spec) { describe(r, spec); });
  f.object({"combine", "several rewards to one"}, [&](Fields& c) { describe(c, o.combine); });
  f.object({"parallel", "how the work is cut"}, [&](Fields& p) { describe(p, o.parallel); });
  describe_device(f, o.device);
  f.integer({"seed", "of the noise"}, o.seed, 0, INT64_MAX);
  f.text({"output", "folder of the run", true}, o.output);
}

class SampleJob final : public Job {
 public:
  void describe(Fields& fields) override { describe_sample(fields, o_); }

  void check() override {
    device_named(o_.device, "/device");
    require_model(o_.model);
    require_lora_file(o_.model);
    o_.prompts.require();
    if (!o_.latents.empty()) require_file(o_.latents, "/latents");
    require_plugins(o_.rewards);
    check_steering(o_.steering, o_.sampler, o_.rewards);
  }

  void run(const Observer& observer) override;
  std::string output() const override { return o_.output; }
  Plan plan(PlanMode mode) const override;

 private:
  void save(const std::vector<MicroBatch>& batches, bool image_rank, const Observer& observer) const;

  SampleOptions o_;
};

void SampleJob::run(const Observer& observer) {
  const auto device = open_device(o_.device);
  const auto seed = static_cast<uint64_t>(o_.seed);
  Workers workers(o_.parallel.worker_count(device));
  PhaseClock clock(device);
  const auto rewards = o_.rewards.empty() ? nullptr
                                          : make_rewards(o_.rewards, o_.sampler.size, o_.parallel.micro_batch,
                                                         o_.seed, device);
  if (rewards) require_abilities(o_.steering, *rewards);
  const auto model = load_model(o_.model.path, o_.model.options(device));
  PromptSet prompts;
  Conditioning negative;
  {
    const PromptEncoder encoder(*model, o_.model.prompt_cache, observer);
    prompts = encoder.encode(o_.prompts.read());
    negative = encoder.conditioning({o_.negative_prompt});
  }
  const auto shape = checked_latent_shape(*model, o_.sampler.size, "/sampler");
  SteeringCost cost;
  const auto window = step_window(o_.sampler, seed, 0);
  const auto reward =
      rewards ? reward_value({*model, *rewards, seed, o_.sampler.steps, o_.parallel.micro_batch, cost, clock})
              : RewardValue{};
  const auto steering = make_steering(o_.steering, o_.sampler, window, reward, seed);
  const auto plain = [&](const SamplerInput& in) { return draw_samples(in, o_.sampler, window); };
  auto velocity = bound_with_lora(*model, o_.model, observer);
  if (!o_.steering.empty()) velocity = counted(std::move(velocity), cost, clock);
  velocity = cfg(o_.sampler.guidance(), on_device(negative, device))(std::move(velocity));
  if (!o_.steering.empty()) velocity = in_parts(std::move(velocity), o_.parallel.micro_batch);
  const int64_t total = prompts.size() * o_.images_per_prompt;
  bool image_rank = shape.frames == 1;
  const auto noise = o_.latents.empty() ? at::Tensor()
                                        : read_noise(o_.latents, shape, total * steering.particles,
                                                     model->latent_dtype(), image_rank);
  RolloutInput input{.model = *model,
                     .prompts = prompts,
                     .rows = {},
                     .particles = steering.particles,
                     .shape = shape,
                     .schedule = schedule_of(o_.sampler.schedule, *model, o_.sampler.steps, o_.sampler.size),
                     .velocity = steering.guidance(std::move(velocity)),
                     .sampler = steering.sample ? steering.sample : plain,
                     .seed = seed,
                     .noise = Purpose::initial_noise,
                     .initial_noise_NCFHW = noise,
                     .rewards = rewards.get(),
                     .micro_batch = samples_at_once(o_.parallel.micro_batch, steering.particles),
                     .keep_frames = o_.save_images || o_.save_frames ? total : 0,
                     .workers = workers,
                     .clock = clock,
                     .progress = [&](int64_t done) { observer.progress("sample", done, total, {}); },
                     .stop_requested = observer.stop_requested};
  for (int64_t i = 0; i < total; ++i)
    input.rows.push_back({i / o_.images_per_prompt, i / o_.images_per_prompt, i});
  const auto batches = rollout(input);
  save(batches, image_rank, observer);
  ScoredRun scored{.job = "sample"};
  for (const auto& batch : batches)
    for (const auto& row : batch.rows)
      scored.prompts.push_back(prompts.list.prompts[static_cast<size_t>(row.prompt)]);
  if (rewards) scored.scores = rewards_of(batches);
  if (!o_.steering.empty()) {
    scored.sections["steering"] = steering_summary(batches, total, cost);
    observer.message(steering_line(scored.sections["steering"]));
    if (auto event = steering_failures(cost)) scored.events.push_back(std::move(*event));
  }
  write_scores(o_.output, scored, rewards.get(), clock, observer);
}

void SampleJob::save(const std::vector<MicroBatch>& batches, bool image_rank,
                     const Observer& observer) const {
  const std::filesystem::path folder = o_.output;
  if (o_.save_latents) {
    const auto latents = latents_of(batches);
    auto tensors = particle_weights_of(batches);
    tensors["latents"] = image_rank ? latents.squeeze(2) : latents;
    write_safetensors(folder / "latents.safetensors", tensors);
  }
  const auto frames = frames_of(batches);
  if (o_.save_frames) write_safetensors(folder / "frames.safetensors", {{"frames", frames}});
  if (!o_.save_images) return;
  std::filesystem::create_directories(folder / "samples");
  write_pictures(folder / "samples", frames);
  write_png(folder / "grid.png", image_grid(frames.select(1, 0).slice(0, 0, 64), 8));
  observer.message("pictures: " + (folder / "samples").string());
}

JobLoad sample_load(const SampleOptions& o) {
  const auto prompts = static_cast<double>(o.prompts.read().prompts.size());
  const auto& s = o.sampler;
  auto draw = draw_load(o.steering.empty() ? "rollout" : "network",
                        prompts * static_cast<double>(o.images_per_prompt),
                        {s, o.steering, planned_schedule(s.schedule, o.model, s.steps, s.size),
                         step_window(s, static_cast<uint64_t>(o.seed), 0)},
                        o.parallel.micro_batch);
  draw.decoded = !o.rewards.empty() || o.save_images || o.save_frames;
  draw.reward_decodes = !o.steering.empty() && wants_frames(o.rewards, installed_plugin_dirs());
  const double pictures = draw.samples * draw.cost.returned;
  JobLoad load;
  load.model = o.model;
  load.size = o.sampler.size;
  load.parallel = o.parallel;
  load.draws = {std::move(draw)};
  load.prompts = load.encoded = prompts;
  load.kept_pictures = o.save_images || o.save_frames ? pictures : 0.0;
  load.stored_samples = pictures;
  load.stored_latents = 1.0;
  return load;
}

Plan SampleJob::plan(PlanMode mode) const {
  const auto load = sample_load(o_);
  SampleJob little;
  little.o_ = o_;
  little.o_.latents.clear();
  const int64_t enough =
      2 * o_.parallel.worker_count() * samples_at_once(o_.parallel.micro_batch, particles_of(o_.steering));
  little.o_.images_per_prompt = std::min(o_.images_per_prompt, enough);
  little.o_.prompts.keep_first((enough + little.o_.images_per_prompt - 1) / little.o_.images_per_prompt);
  const auto little_load = sample_load(little.o_);
  return make_plan("sample", load, model_size(o_.model, o_.sampler.size), mode,
                   {little_load, [&] {
                      auto phases =
                          rehearse_in_scratch(o_.parallel.worker_count(), [&](const std::string& folder) {
                            little.o_.output = folder;
                            little.run({});
                          });
                      const double times = load.draws[0].samples / little_load.draws[0].samples;
                      for (auto& phase : phases) {
                        if (phase.name == "load and encode") continue;
                        phase.wall_s *= times;
                        phase.cpu_s *= times;
                      }
                      return phases;
                    }});
}

}  // namespace

std::unique_ptr<Job> make_sample_job() {
  return std::make_unique<SampleJob>();
}

}  // namespace thalweg
