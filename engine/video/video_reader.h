// Videos from outside: MP4, MOV, WebM, MKV and GIF files through thalweg-video, and folders of PNG frames.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/video/frame_rate.h"

namespace thalweg {

struct VideoLimits {
  int64_t pixels = int64_t{4096} * 2304;  // of a frame
  int64_t frames = 2048;
  int64_t bytes = int64_t{1} << 30;  // of all frames, as levels
  double play_s = 600.0;
  double patience_s = 150.0;  // of the wall; the decoder's processor time is bounded too
};

struct Video {
  at::Tensor frames_F3HW;          // levels (uint8), upright, in the order of play; F >= 1
  double fps = 0.0;                // 0: the file has none (a folder of frames)
  std::vector<std::string> notes;  // what frames and a rate do not say: a rate that varies, pixels not square
};

/// Whether the file's ending is that of a video: .mp4, .m4v, .mov, .webm, .mkv, .gif, in any case.
bool has_video_ending(const std::filesystem::path& path);

/// A file, whatever its ending: its first bytes say what it is. No part of it is parsed in this process. A
/// folder: its PNG files in the order of the numbers in their names, all of one size. Throws Error naming the
/// path and the reason.
Video read_video(const std::filesystem::path& path, const VideoLimits& limits = {});

}  // namespace thalweg
