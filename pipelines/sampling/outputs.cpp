#include "pipelines/sampling/outputs.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "engine/core/file.h"
#include "engine/io/contact_sheet.h"
#include "engine/io/image.h"
#include "engine/io/picture.h"
#include "engine/weights/safetensors.h"
#include "pipelines/clip.h"
#include "pipelines/sampling/videos.h"
#include "pipelines/stages/decoration.h"

namespace thalweg {
namespace {

std::filesystem::path samples_folder(const SampleOptions& o) {
  return std::filesystem::path(o.output) / "samples";
}

// Of the micro-batch.
std::vector<std::filesystem::path> files_of(const SampleOptions& o, const Drawn& drawn) {
  const auto count = static_cast<int64_t>(drawn.prompts.size());
  std::vector<std::filesystem::path> files;
  if (writes_pictures(o))
    files =
        picture_files(samples_folder(o), count, o.sampler.size.frames, drawn.first * (count / drawn.count));
  if (writes_videos(o)) {
    const auto videos = video_files(o, drawn);
    files.insert(files.end(), videos.begin(), videos.end());
  }
  return files;
}

bool is_file(const std::filesystem::path& path) {
  std::error_code ec;
  return std::filesystem::is_regular_file(path, ec);
}

// Samples that the grid shows.
int64_t most_on_grid(const SampleOptions& o) {
  return kGridPictures / clip_frames_shown(o.sampler.size.frames);
}

// Of the grid, when the job draws so many samples.
SheetLayout grid_layout(const SampleOptions& o, int64_t samples) {
  const auto& size = o.sampler.size;
  return sheet_layout(std::min(samples, most_on_grid(o)) * clip_frames_shown(size.frames), size.height,
                      size.width, clip_columns(size.frames));
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
  batch.frames_BF3HW = frames;
  if (o.save_frames) drawn.frames = frames;
  if (!o.save_images) return drawn;
  const int64_t each = static_cast<int64_t>(drawn.prompts.size()) / drawn.count, number = first * each;
  std::filesystem::create_directories(samples_folder(o));
  if (writes_pictures(o)) write_pictures(samples_folder(o), frames, number);
  // A copy, as small as the grid shows it, so that the frames need not stay.
  if (const auto most = most_on_grid(o); number < most)
    drawn.grid_N3HW =
        shrunk(clip_frames(frames.slice(0, 0, most - number)), grid_layout(o, total * each).shrink).clone();
  return drawn;
}

bool is_kept(const SampleOptions& o, const Drawn& drawn) {
  if (o.save_latents && !drawn.latents.defined()) return false;
  if (o.save_frames && !drawn.frames.defined()) return false;
  if (!o.save_images) return true;
  const auto files = files_of(o, drawn);
  return std::all_of(files.begin(), files.end(), &is_file);
}

void sync_pictures(const SampleOptions& o, const std::vector<const Drawn*>& drawn) {
  if (!o.save_images || drawn.empty()) return;
  for (const auto* each : drawn)
    for (const auto& file : files_of(o, *each))
      if (is_file(file)) sync_path(file);  // a video that could not be made is not there
  sync_path(samples_folder(o));
}

at::Tensor read_sample(const SampleOptions& o, int64_t number) {
  if (!writes_pictures(o)) return read_clip(video_file(samples_folder(o), number)).frames_F3HW;
  std::vector<at::Tensor> frames;
  for (const auto& file : picture_files(samples_folder(o), 1, o.sampler.size.frames, number))
    frames.push_back(eight_bit(read_picture(file)));
  return at::stack(frames);
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
    write_png(folder / "grid.png",
              contact_sheet(gathered(all, &Drawn::grid_N3HW), clip_columns(o.sampler.size.frames)));
    int64_t samples = 0;
    for (const auto* each : drawn) samples += static_cast<int64_t>(each->prompts.size());
    return grid_layout(o, samples).note();
  });
  observer.message((writes_videos(o) ? "videos: " : "pictures: ") + samples_folder(o).string());
}

}  // namespace thalweg
