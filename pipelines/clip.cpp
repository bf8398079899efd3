#include "pipelines/clip.h"

#include <ATen/ATen.h>

#include <utility>

#include "engine/io/picture.h"
#include "engine/video/video_reader.h"

namespace thalweg {

Clip read_clip(const std::filesystem::path& path) {
  std::error_code ec;
  if (!has_video_ending(path) && !std::filesystem::is_directory(path, ec))
    return {read_picture(path).unsqueeze(0), 0.0, {}};
  auto video = read_video(path);
  return {video.frames_F3HW.to(at::kFloat).div_(255.0), video.fps, std::move(video.notes)};
}

}  // namespace thalweg
