// The files of a `sample` job.
#pragma once

#include "pipelines/observer.h"
#include "pipelines/sampling/drawn.h"
#include "pipelines/sampling/options.h"
#include "pipelines/stages/rollout.h"

namespace thalweg {

inline constexpr int64_t kGridPictures = 64;  // of grid.png: the first

/// What is kept of a micro-batch, the first of whose samples is number `first` of the job's `total`. Writes
/// its PNG files; the frames stay in the batch.
Drawn keep(const SampleOptions& options, MicroBatch& batch, int64_t first, int64_t total);

/// Whether an earlier run kept of the micro-batch all that these options ask for, its pictures and videos
/// among it.
bool is_kept(const SampleOptions& options, const Drawn& drawn);

/// Waits until the pictures and videos of these are on the disk.
void sync_pictures(const SampleOptions& options, const std::vector<const Drawn*>& drawn);

/// Sample `number` of the job as its files have it. Throws Error where they cannot be read.
at::Tensor read_sample(const SampleOptions& options, int64_t number);

/// latents.safetensors, frames.safetensors and grid.png, where asked for. `image_rank`: latents without a
/// frame axis.
void write_outputs(const SampleOptions& options, const std::vector<Drawn>& all, bool image_rank,
                   const Observer& observer);

}  // namespace thalweg
