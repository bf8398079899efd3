#include "pipelines/sampling/videos.h"

#include <ATen/ATen.h>

#include <cstdio>
#include <utility>

namespace thalweg {

bool writes_videos(const SampleOptions& o) {
  return o.save_images && o.video.writes_videos(o.sampler.size.frames);
}

bool writes_pictures(const SampleOptions& o) {
  return o.save_images && o.video.writes_pictures(o.sampler.size.frames);
}

std::vector<std::filesystem::path> video_files(const SampleOptions& o, const Drawn& drawn) {
  const auto count = static_cast<int64_t>(drawn.prompts.size()), first = drawn.first * (count / drawn.count);
  std::vector<std::filesystem::path> files;
  for (int64_t i = 0; i < count; ++i)
    files.push_back(video_file(std::filesystem::path(o.output) / "samples", first + i));
  return files;
}

void SampleVideos::add(const at::Tensor& frames_NF3HW, Drawn drawn, std::function<void(Drawn)> finished) {
  if (!writes_videos(options_)) {
    finished(std::move(drawn));
    return;
  }
  const auto files = video_files(options_, drawn);
  std::vector<QueuedVideo> videos;
  for (size_t i = 0; i < files.size(); ++i)
    videos.push_back(
        {files[i], frames_NF3HW[static_cast<int64_t>(i)], frame_rate_of(options_.video.fps), OddSide::pad});
  queue_.add(std::move(videos), [drawn = std::move(drawn), finished = std::move(finished)]() mutable {
    finished(std::move(drawn));
  });
}

void SampleVideos::wait(const Observer& observer) {
  const auto failed = queue_.wait();
  if (failed.empty()) return;
  const auto others = failed.size() - 1;
  observer.message("warn: " + failed.front().path.filename().string() +
                   " is left out: " + failed.front().message +
                   (others == 0 ? "" : " (and so are " + std::to_string(others) + " other videos)"));
}

}  // namespace thalweg
