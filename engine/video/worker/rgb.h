// Frames of any pixel format to rows of RGB.
#pragma once

#include <string>

#include "engine/video/worker/libav.h"

namespace thalweg::video {

class RgbConverter {
 public:
  /// height * width * 3 bytes, without gaps; alpha is dropped. Valid until the next call. Throws Refused.
  const std::string& convert(const AVFrame& frame);

 private:
  void set_up(const AVFrame& frame);

  Owned<SwsContext> scaler_;
  Owned<AVFrame> rgb_;  // rows with libav's own gaps: swscale may write into them
  int width_ = 0, height_ = 0, format_ = -1, space_ = -1, range_ = -1;
  std::string bytes_;
};

}  // namespace thalweg::video
