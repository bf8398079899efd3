// Frames to an MP4 file (H.264, 4:2:0 in BT.709, the index first), through thalweg-video.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <optional>

#include "engine/core/file.h"
#include "engine/video/frame_rate.h"
#include "engine/video/worker_process.h"

namespace thalweg {

/// What is done with an odd side, which 4:2:0 has no form for.
enum class OddSide {
  refuse,  ///< an Error that names the nearest sizes
  pad,     ///< the last row or column stands twice
};

/// Of sample `number`: 00007.mp4, as picture_files() names pictures.
std::filesystem::path video_file(const std::filesystem::path& folder, int64_t number);

/// A file that takes its name when it is whole; until then nothing of that name is touched. The same frames
/// and rate give the same bytes.
class VideoWriter {
 public:
  /// Sides from 2 to 8192 (1 where it is padded). Throws Error naming `path`.
  VideoWriter(const std::filesystem::path& path, int64_t height, int64_t width, FrameRate rate,
              OddSide odd = OddSide::refuse);

  /// Frames [F,3,H,W], floats in [0,1] or levels, any device; see eight_bit(). Waits only while thalweg-video
  /// is behind. Throws Error naming the path.
  void write(const at::Tensor& frames_F3HW);

  /// Waits until the file is whole, and gives it its name. Throws Error naming the path.
  void finish();

 private:
  void publish();

  const std::filesystem::path path_;
  const int64_t height_, width_;
  Descriptor media_;
  std::optional<video::WorkerProcess> worker_;
};

/// A whole video at once. Throws as VideoWriter does.
void write_video(const std::filesystem::path& path, const at::Tensor& frames_F3HW, FrameRate rate,
                 OddSide odd = OddSide::refuse);

}  // namespace thalweg
