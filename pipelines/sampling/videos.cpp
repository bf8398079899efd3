#include "pipelines/sampling/videos.h"

#include <ATen/ATen.h>

#include <cstdio>
#include <utility>

#include "engine/core/error.h"
#include "engine/video/program.h"

namespace thalweg {

bool writes_videos(const SampleOptions& o) {
  return o.save_images && o.sampler.size.frames > 1 && o.video.format != "frames";
}

bool writes_pictures(const SampleOptions& o) {
  return o.save_images && (o.sampler.size.frames == 1 || o.video.format != "mp4");
}

void check_videos(const SampleOptions& o) {
  if (o.video != VideoSection{}) {
    if (!o.save_images)
      throw Error("/video", "is read by nothing: \"save_images\" is false, so that no video is written");
    if (o.sampler.size.frames == 1)
      throw Error("/video", "is read by nothing: samples of one frame are PNG files (see /sampler/frames)");
  }
  if (writes_videos(o)) require_video_program("/video/format");
}

std::vector<std::filesystem::path> video_files(const SampleOptions& o, const Drawn& drawn) {
  const auto count = static_cast<int64_t>(drawn.prompts.size()), first = drawn.first * (count / drawn.count);
  std::vector<std::filesystem::path> files;
  for (int64_t i = 0; i < count; ++i) {
    char name[32];
    std::snprintf(name, sizeof name, "%05d.mp4", static_cast<int>(first + i));
    files.push_back(std::filesystem::path(o.output) / "samples" / name);
  }
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
