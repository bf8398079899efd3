#include "pipelines/sampling/outputs.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "engine/core/file.h"
#include "engine/io/contact_sheet.h"
#include "engine/io/image.h"
#include "engine/weights/safetensors.h"
#include "pipelines/stages/decoration.h"

namespace thalweg {
namespace {

std::filesystem::path samples_folder(const SampleOptions& o) {
  return std::filesystem::path(o.output) / "samples";
}

// Of the micro-batch.
std::vector<std::filesystem::path> pictures_of(const SampleOptions& o, const Drawn& drawn) {
  const auto count = static_cast<int64_t>(drawn.prompts.size());
  return picture_files(samples_folder(o), count, o.sampler.size.frames, drawn.first * (count / drawn.count));
}

// Of the grid, when the job draws so many samples.
SheetLayout grid_layout(const SampleOptions& o, int64_t samples) {
  const auto& size = o.sampler.size;
  return sheet_layout(std::min(samples, kGridPictures), size.height, size.width);
}

}  // namespace

Drawn keep(const SampleOptions& o, MicroBatch& batch, int64_t first, int64_t total) {
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
  // A copy, as small as the grid shows it, so that the frames need not stay.
  if (number < kGridPictures)
    drawn.grid_N3HW =
        shrunk(frames.select(1, 0).slice(0, 0, kGridPictures - number), grid_layout(o, total * each).shrink)
            .clone();
  return drawn;
}

bool is_kept(const SampleOptions& o, const Drawn& drawn) {
  if (o.save_latents && !drawn.latents.defined()) return false;
  if (o.save_frames && !drawn.frames.defined()) return false;
  if (!o.save_images) return true;
  const auto pictures = pictures_of(o, drawn);
  return std::all_of(pictures.begin(), pictures.end(), [](const auto& picture) {
    std::error_code ec;
    return std::filesystem::is_regular_file(picture, ec);
  });
}

void sync_pictures(const SampleOptions& o, const std::vector<const Drawn*>& drawn) {
  if (!o.save_images || drawn.empty()) return;
  for (const auto* each : drawn)
    for (const auto& picture : pictures_of(o, *each)) sync_path(picture);
  sync_path(samples_folder(o));
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
  std::vector<const Drawn*> drawn;
  for (const auto& each : all) drawn.push_back(&each);
  sync_pictures(o, drawn);
  decorate(observer, "grid.png", [&] {
    write_png(folder / "grid.png", contact_sheet(gathered(all, &Drawn::grid_N3HW)));
    int64_t samples = 0;
    for (const auto* each : drawn) samples += static_cast<int64_t>(each->prompts.size());
    return grid_layout(o, samples).note();
  });
  observer.message("pictures: " + samples_folder(o).string());
}

}  // namespace thalweg
