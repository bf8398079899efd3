// The MP4 files of a `sample` job whose samples have several frames.
#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "engine/video/video_queue.h"
#include "pipelines/observer.h"
#include "pipelines/sampling/drawn.h"
#include "pipelines/sampling/options.h"

namespace thalweg {

/// Whether samples are written as videos, as PNG frames.
bool writes_videos(const SampleOptions& options);
bool writes_pictures(const SampleOptions& options);

/// Of the samples that came back of a micro-batch: samples/NNNNN.mp4.
std::vector<std::filesystem::path> video_files(const SampleOptions& options, const Drawn& drawn);

/// Encodes while the next samples are drawn. A micro-batch is told of as finished once its videos are: what
/// is saved of a run always has them.
class SampleVideos {
 public:
  explicit SampleVideos(const SampleOptions& options) : options_(options) {}

  /// `frames_NF3HW` of `drawn`, which then goes to `finished` on another thread; without videos at once.
  /// Throws what `finished` threw for an earlier one. [any thread]
  void add(const at::Tensor& frames_NF3HW, Drawn drawn, std::function<void(Drawn)> finished);

  /// Until all are finished. A video that could not be made is told and left out.
  void wait(const Observer& observer);

 private:
  const SampleOptions& options_;
  VideoQueue queue_;
};

}  // namespace thalweg
