// What stands between a picture and a vision tower, as transformers' CLIPImageProcessor does it from its
// preprocessor_config.json: resize, centre crop, rescale, normalise. S: the side of the result.
#pragma once

#include <array>
#include <filesystem>

#include "engine/core/json.h"
#include "engine/models/vision/resample.h"

namespace thalweg {

struct ImageProcessorConfig {
  /// The side to which the picture's shorter one is resized, its shape kept (the longer one rounded down);
  /// 0: both sides are resized to `side`; absent do_resize: -1, the picture stays as it is.
  int64_t shortest_edge = 224;
  /// Of the result, a square: crop_size, or size where nothing is cropped. A picture that is smaller is
  /// padded with black.
  int64_t side = 224;
  /// Where the middle is between two pixels: the crop begins at the even one, as torchvision's does, not at
  /// the lower one. No file says it.
  bool crops_to_even = false;
  ResampleFilter filter = ResampleFilter::bicubic;
  double rescale_factor = 1.0 / 255.0;  // from levels 0 to 255
  std::array<double, 3> mean{0.48145466, 0.4578275, 0.40821073};
  std::array<double, 3> std{0.26862954, 0.26130258, 0.27577711};
};

class ImageProcessor {
 public:
  using Config = ImageProcessorConfig;

  explicit ImageProcessor(const Config& config) : config_(config) {}

  /// Reads preprocessor_config.json of `folder`, or the part image_processor of its processor_config.json.
  static ImageProcessor load(const std::filesystem::path& folder);

  /// Throws Error naming `path` and the key for what is malformed or not done here (padding, other filters,
  /// a result that is no square of fixed size).
  static Config parse(const Json& json, const std::filesystem::path& path);

  /// frame [3,H,W] float32 in [0,1] -> [3,S,S] float32. Levels are rounded to 8 bits at first, after each
  /// axis of the resize, and clipped: what the peer (its PIL version) makes of the same picture, bit for bit.
  at::Tensor exact(const at::Tensor& frame_3HW) const;

  /// The same without rounding and clipping: differentiable.
  at::Tensor smooth(const at::Tensor& frame_3HW) const;

  /// As HPSv2 has it (hpsv2/src/open_clip/transform.py, ResizeMaxSize): the longer side to S and the shorter
  /// in proportion, rounded half to even, without rounding or clipping of levels, in the middle of black.
  /// Nothing is cut off. Differentiable; of 8-bit levels what the peer makes of them.
  at::Tensor letterboxed(const at::Tensor& frame_3HW) const;

  int64_t side() const { return config_.side; }
  const Config& config() const { return config_; }

 private:
  at::Tensor normalized(const at::Tensor& levels_3SS) const;

  Config config_;
};

}  // namespace thalweg
