// The `sample` job: prompts to pictures, with a LoRA, given noise, saved latents and frames, and scores.
#include <ATen/ATen.h>

#include <algorithm>
#include <utility>

#include "engine/core/ceil_div.h"
#include "engine/core/device.h"
#include "engine/core/error.h"
#include "pipelines/generator_steps.h"
#include "pipelines/job.h"
#include "pipelines/models.h"
#include "pipelines/plan/measure.h"
#include "pipelines/plan/scratch.h"
#include "pipelines/sampling/load.h"
#include "pipelines/sampling/options.h"
#include "pipelines/sampling/outputs.h"
#include "pipelines/sampling/steered.h"
#include "pipelines/sampling/store.h"
#include "pipelines/sampling/videos.h"
#include "pipelines/stages/latents_file.h"
#include "pipelines/stages/not_finite.h"
#include "pipelines/stages/reward_lines.h"
#include "pipelines/steering/soft_value.h"
#include "pipelines/steering/summary.h"

namespace thalweg {
namespace {

class SampleJob final : public Job {
 public:
  void describe(Fields& fields) override { thalweg::describe(fields, o_); }
  void fill_in() override {
    fill_model(o_.model);
    steps_from_ = fill_steps(o_.sampler.steps, o_.sampler.schedule, o_.model);
  }

  void check() override {
    o_.device.require();
    require_model(o_.model);
    require_outside(o_.output, o_.model);
    require_lora_file(o_.model);
    o_.prompts.require();
    if (!o_.latents.empty()) require_file(o_.latents, "/latents");
    require_plugins(o_.rewards, followed_by(o_.steering));
    check_sampler(o_.sampler);
    require_guided(o_.negative_prompt, {o_.sampler.guidance_scale});
    check_videos(o_.video, o_.sampler.size.frames, o_.save_images);
    if (!o_.save_images && (o_.rewards.empty() || o_.video.format != VideoSection{}.format) &&
        o_.video != VideoSection{})
      throw Error("/video", "is read by nothing: \"save_images\" is false, so that no video is written");
    check_steering(o_.steering, o_.sampler, o_.rewards);
    if (!o_.steering.empty()) check_soft_values(o_.rewards, o_.model.path);
  }
  void check_folder() const override {
    DrawnStore::require_own(o_.output, [this] { return sample_identity(o_); });
  }

  Json run(const Observer& observer) override;
  void clean_up() const override { DrawnStore::remove(o_.output); }
  std::string output() const override { return o_.output; }
  bool resumes() const override { return true; }
  bool goes_on() const override { return DrawnStore::is_there(o_.output); }
  Plan plan(const PlanRequest& request) const override;

 private:
  struct Loaded {
    const FlowModel& model;
    const PromptSet& prompts;
    const Conditioning& unconditional;
    RewardSet* rewards;
    Workers& workers;
    RewardLines& lines;
    PhaseClock& clock;
  };
  /// Of all particles of all samples; undefined where the job names no file. Latents are written with its
  /// rank.
  GivenNoise initial_noise(const FlowModel& model, const PromptSet& prompts) const;
  int64_t samples_of(const PromptSet& prompts) const { return prompts.size() * o_.images_per_prompt; }
  /// Into the store.
  void draw(const Loaded& loaded, const at::Tensor& noise_NCFHW, DrawnStore& store,
            const Observer& observer) const;
  ScoredRun scored(const std::vector<Drawn>& all, const SteeringCost& cost, const PromptList& prompts) const;

  SampleOptions o_;
  std::string steps_from_ = "job";
};

// Those of the micro-batches that are not there yet; sample i of the job has slot i.
std::vector<SampleRow> missing_rows(const DrawnStore& store, int64_t total, int64_t micro_batch,
                                    int64_t images_per_prompt) {
  std::vector<SampleRow> rows;
  for (const auto first : store.missing(total, micro_batch))
    for (int64_t i = first; i < std::min(first + micro_batch, total); ++i)
      rows.push_back({i / images_per_prompt, i / images_per_prompt, i});
  return rows;
}

// The particles of `rows` in the initial noise of all samples.
at::Tensor noise_of(const at::Tensor& noise_NCFHW, const std::vector<SampleRow>& rows, int64_t particles) {
  const bool all =
      noise_NCFHW.defined() && noise_NCFHW.size(0) == static_cast<int64_t>(rows.size()) * particles;
  if (all || !noise_NCFHW.defined()) return noise_NCFHW;
  std::vector<int64_t> wanted;
  for (const auto& row : rows)
    for (int64_t p = 0; p < particles; ++p) wanted.push_back(row.slot * particles + p);
  return noise_NCFHW.index_select(0, at::tensor(wanted, at::kLong));
}

Json SampleJob::run(const Observer& observer) {
  DrawnStore store(
      o_.output, [this] { return sample_identity(o_); }, o_.checkpoint_s,
      [this](const std::vector<const Drawn*>& drawn) { sync_pictures(o_, drawn); });
  auto events = store.load(observer, [this](const Drawn& drawn) { return is_kept(o_, drawn); });
  const auto device = o_.device.open(observer);
  Workers workers(o_.parallel.worker_count(device), device);
  PhaseClock clock(device);
  RewardLines lines(observer);
  const auto rewards = o_.rewards.empty()
                           ? nullptr
                           : make_rewards(o_.rewards, {o_.sampler.size, o_.video.fps},
                                          o_.parallel.micro_batch, o_.seed, device, lines.log());
  if (rewards) {
    rewards->refuse_comparing();
    require_abilities(o_.steering, *rewards);
  }
  const auto model = load_model(o_.model.path, o_.model.options(device));
  // Before prompts are encoded.
  const auto schedule = schedule_of(o_.sampler.schedule, *model, o_.sampler.steps, o_.sampler.size);
  if (auto event = other_levels(o_.model, *model, schedule, o_.sampler.size))
    events.push_back(std::move(*event));
  PromptSet prompts;
  Conditioning negative;
  {
    const PromptEncoder encoder(*model, o_.model.prompt_cache, workers, observer);
    prompts = encoder.encode(o_.prompts.read(), o_.prompts.place());
    encoder.tell_cut({o_.negative_prompt}, "/negative_prompt");
    negative = on_device(encoder.conditioning({o_.negative_prompt}), device);
  }
  const auto noise = initial_noise(*model, prompts);
  draw({*model, prompts, negative, rewards.get(), workers, lines, clock}, noise.noise_NCFHW, store, observer);
  const auto all = store.sorted();
  write_outputs(o_, all, noise.image_rank, observer);
  SteeringCost cost;
  for (const auto& drawn : all) cost.add(drawn.cost);
  auto run = scored(all, cost, prompts.list);
  const auto said = lines.take();
  events.insert(events.end(), said.begin(), said.end());
  run.events.insert(run.events.begin(), events.begin(), events.end());
  run.sections["steps"] = o_.sampler.steps;
  run.sections["steps_from"] = steps_from_;
  if (run.sections.contains("steering")) observer.message(steering_line(run.sections["steering"]));
  SampleOptions copy = o_;
  run.settings = write_fields([&](Fields& f) { thalweg::describe(f, copy); });
  if (o_.save_images) {
    run.shown.title = "Samples";
    run.shown.fps = o_.video.fps;
    run.shown.frames_F3HW = [this](int64_t i) { return read_sample(o_, i); };
  }
  int64_t not_finite = 0;
  for (const auto& drawn : all) not_finite += drawn.not_finite;
  try {
    auto result = write_scores(o_.output, run, rewards.get(), clock, observer);
    require_finite_samples("sample", not_finite, static_cast<int64_t>(run.prompts.size()));
    return result;
  } catch (const NothingAchieved&) {
    require_finite_samples("sample", not_finite, static_cast<int64_t>(run.prompts.size()));  // is why
    throw;
  }
}

GivenNoise SampleJob::initial_noise(const FlowModel& model, const PromptSet& prompts) const {
  if (o_.latents.empty()) return {{}, o_.sampler.size.frames == 1};
  return read_noise(o_.latents, checked_latent_shape(model, o_.sampler.size, "/sampler"),
                    samples_of(prompts) * particles_of(o_.steering), model.latent_dtype());
}

void SampleJob::draw(const Loaded& in, const at::Tensor& noise_NCFHW, DrawnStore& store,
                     const Observer& observer) const {
  const auto shape = checked_latent_shape(in.model, o_.sampler.size, "/sampler");
  const int64_t total = samples_of(in.prompts), particles = particles_of(o_.steering),
                micro_batch = samples_at_once(o_.parallel.micro_batch, particles);
  const auto rows = missing_rows(store, total, micro_batch, o_.images_per_prompt);
  const int64_t there = total - static_cast<int64_t>(rows.size());
  if (there > 0)
    observer.message("resuming: " + std::to_string(there) + " of " + std::to_string(total) +
                     " samples were drawn before");
  SteeredSampler sampler(o_, in.model, in.rewards, in.unconditional, in.clock);
  SampleVideos videos(o_);
  const auto finished = [&](MicroBatch& batch) {
    const auto first = rows[static_cast<size_t>(batch.begin)].slot;
    auto drawn = keep(o_, batch, first, total);
    drawn.cost = sampler.take_cost(first);
    videos.add(batch.frames_BF3HW, std::move(drawn), [&](Drawn whole) { store.add(std::move(whole)); });
    batch = {};
  };
  try {
    rollout({.model = in.model,
             .prompts = in.prompts,
             .rows = rows,
             .particles = particles,
             .shape = shape,
             .schedule = schedule_of(o_.sampler.schedule, in.model, o_.sampler.steps, o_.sampler.size),
             .velocity = bound_with_lora(in.model, o_.model, observer),
             .sampler = [&](const SamplerInput& input) { return sampler(input); },
             .seed = static_cast<uint64_t>(o_.seed),
             .noise = Purpose::initial_noise,
             .initial_noise_NCFHW = noise_of(noise_NCFHW, rows, particles),
             .rewards = in.rewards,
             .picture_statistics = false,
             .micro_batch = micro_batch,
             .keep_frames = o_.save_images || o_.save_frames ? total : 0,
             .workers = in.workers,
             .clock = in.clock,
             .finished = finished,
             .progress =
                 [&](int64_t done) {
                   in.lines.show();
                   observer.progress("sample", there + done, total, {});
                 },
             .stop_requested = observer.stop_requested});
    videos.wait(observer);
  } catch (const Stopped&) {
    videos.wait(observer);
    store.save();
    throw;
  }
}

ScoredRun SampleJob::scored(const std::vector<Drawn>& all, const SteeringCost& cost,
                            const PromptList& prompts) const {
  ScoredRun run{.job = "sample"};
  std::vector<RewardBatch> rewards;
  std::vector<ParticleRecord> records;
  int64_t asked = 0;
  for (const auto& drawn : all) {
    asked += drawn.count;
    for (const auto prompt : drawn.prompts)
      run.prompts.push_back(prompts.prompts[static_cast<size_t>(prompt)]);
    rewards.push_back(drawn.rewards);
    if (drawn.particles) records.push_back(*drawn.particles);
  }
  if (!o_.rewards.empty()) run.scores = concatenate_samples(rewards);
  if (o_.steering.empty()) return run;
  run.sections["steering"] = steering_summary(records, asked, cost);
  if (auto event = steering_failures(cost)) run.events.push_back(std::move(*event));
  run.came_to_nothing = came_to_nothing(cost);
  return run;
}

Plan SampleJob::plan(const PlanRequest& request) const {
  const auto load = sample_load(o_);
  SampleJob little;
  little.o_ = o_;
  little.o_.latents.clear();
  const int64_t enough =
      2 * o_.parallel.worker_count() * samples_at_once(o_.parallel.micro_batch, particles_of(o_.steering));
  little.o_.images_per_prompt = std::min(o_.images_per_prompt, enough);
  little.o_.prompts.keep_first(ceil_div(enough, little.o_.images_per_prompt));
  const auto little_load = sample_load(little.o_);
  return make_plan("sample", load, model_size(o_.model, o_.sampler.size, "/sampler"), request,
                   {little_load, [&] {
                      auto phases =
                          rehearse_in_scratch(o_.parallel.worker_count(), [&](const std::string& folder) {
                            little.o_.output = folder;
                            return little.run({});
                          });
                      const double times = load.draws[0].samples / little_load.draws[0].samples;
                      for (auto& phase : phases) {
                        if (phase.name == kLoadAndEncode) continue;
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
