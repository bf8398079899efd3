// Pictures and videos from files: a picture is a clip of one frame.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

namespace thalweg {

struct Clip {
  at::Tensor frames_F3HW;          // float32 in [0,1]
  double fps = 0.0;                // 0: none is known
  std::vector<std::string> notes;  // what of a video frames and a rate do not say
};

/// A PNG or JPEG file, a video (by its ending), or a folder of PNG frames. Throws Error naming the path.
Clip read_clip(const std::filesystem::path& path);

}  // namespace thalweg
