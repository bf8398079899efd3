#include "pipelines/sampling/outputs.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "engine/io/image.h"
#include "engine/weights/safetensors.h"

namespace thalweg {
namespace {

std::filesystem::path samples_folder(const SampleOptions& o) {
  return std::filesystem::path(o.output) / "samples";
}

}  // namespace

Drawn keep(const SampleOptions& o, MicroBatch& batch, int64_t first) {
  Drawn drawn;
  drawn.first = first;
  drawn.count = batch.end - batch.begin;
  for (const auto& row : batch.rows) drawn.prompts.push_back(row.prompt);
  drawn.rewards = std::move(batch.rewards);
  drawn.not_finite = batch.not_finite;
  drawn.particles = std::move(batch.trajectory.particles);
  if (o.save_latents) drawn.latents = batch.trajectory.x0_BCFHW.cpu();
  const auto frames = batch.frames_BF3HW;
  batch = {};
  if (o.save_frames) drawn.frames = frames;
  if (!o.save_images) return drawn;
  const int64_t each = static_cast<int64_t>(drawn.prompts.size()) / drawn.count, number = first * each;
  std::filesystem::create_directories(samples_folder(o));
  write_pictures(samples_folder(o), frames, number);
  // A copy, so that the rest of the frames need not stay.
  if (number < kGridPictures)
    drawn.grid_N3HW = frames.select(1, 0).slice(0, 0, kGridPictures - number).clone();
  return drawn;
}

void write_outputs(const SampleOptions& o, const std::vector<Drawn>& all, bool image_rank,
                   const Observer& observer) {
  const std::filesystem::path folder = o.output;
  if (o.save_latents) {
    auto tensors = particle_weights_of(all);
    const auto latents = gathered(all, &Drawn::latents);
    tensors["latents"] = image_rank ? latents.squeeze(2) : latents;
    write_safetensors(folder / "latents.safetensors", tensors);
  }
  if (o.save_frames)
    write_safetensors(folder / "frames.safetensors", {{"frames", gathered(all, &Drawn::frames)}});
  if (!o.save_images) return;
  write_png(folder / "grid.png", image_grid(gathered(all, &Drawn::grid_N3HW), 8));
  observer.message("pictures: " + samples_folder(o).string());
}

}  // namespace thalweg
