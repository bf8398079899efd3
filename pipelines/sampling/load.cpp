#include "pipelines/sampling/load.h"

#include <algorithm>
#include <utility>

#include "engine/io/contact_sheet.h"
#include "pipelines/models.h"
#include "pipelines/sampling/outputs.h"
#include "rewards/open_reward.h"
#include "rewards/plugin.h"

namespace thalweg {
namespace {

// Frames as small as the grid shows them, as a share of whole videos.
double of_grid(const SampleOptions& o, double pictures) {
  const auto& size = o.sampler.size;
  const auto shown = static_cast<int64_t>(std::min(
      pictures * static_cast<double>(clip_frames_shown(size.frames)), static_cast<double>(kGridPictures)));
  const auto shrink = static_cast<double>(
      sheet_layout(std::max<int64_t>(1, shown), size.height, size.width, clip_columns(size.frames)).shrink);
  return static_cast<double>(shown) / (static_cast<double>(size.frames) * shrink * shrink);
}

}  // namespace

JobLoad sample_load(const SampleOptions& o) {
  const auto prompts = static_cast<double>(o.prompts.read().prompts.size());
  const auto& s = o.sampler;
  auto draw = draw_load(o.steering.empty() ? "rollout" : "network",
                        prompts * static_cast<double>(o.images_per_prompt),
                        {s, o.steering, planned_schedule(s.schedule, o.model, s.steps, s.size),
                         step_window(s, static_cast<uint64_t>(o.seed), 0)},
                        o.parallel.micro_batch);
  draw.decoded = !o.rewards.empty() || o.save_images || o.save_frames;
  for (const auto use : followed_by(o.steering))
    draw.reward_decodes =
        draw.reward_decodes || wants_frames(inspect_rewards(o.rewards, use, installed_plugin_dirs()));
  const double pictures = draw.samples * draw.cost.returned;
  JobLoad load;
  load.model = o.model;
  load.size = o.sampler.size;
  load.parallel = o.parallel;
  load.scored_elsewhere = scores_elsewhere(o.rewards, installed_plugin_dirs());
  load.draws = {std::move(draw)};
  load.prompts = load.encoded = prompts;
  load.kept_pictures = o.save_frames ? pictures : o.save_images ? of_grid(o, pictures) : 0.0;
  load.kept_latents = o.save_latents ? pictures : 0.0;
  return load;
}

}  // namespace thalweg
