// Samples to score, made from their numbers alone: sample 7 is the same in every batch.
#pragma once

#include <thalweg/reward.h>

#include <string>
#include <vector>

#include "plugins/validator/validator.h"

namespace thalweg::validator {

struct Shape {
  int64_t frames = 1, height = 64, width = 64;
  int64_t latent_channels = 4, latent_height = 8, latent_width = 8;
};

/// A dense float32 tensor on the CPU and its C view.
class Tensor {
 public:
  explicit Tensor(std::vector<int64_t> shape);
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;

  std::vector<float> data;
  const thalweg_tensor* view() const { return &view_; }
  /// Everything that the plugin was lent.
  bool same_as(const Tensor& other) const;
  /// Elements of one sample.
  size_t row() const { return data.size() / static_cast<size_t>(shape_[0]); }
  const std::vector<int64_t>& shape() const { return shape_; }

 private:
  std::vector<int64_t> shape_, strides_;
  thalweg_tensor view_{};
};

/// A tensor that the plugin writes, filled with NaN and with known numbers on either side.
class Guarded {
 public:
  explicit Guarded(std::vector<int64_t> shape);
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  const thalweg_tensor* view() const { return &view_; }
  std::vector<float> values() const;
  /// True when nothing was written before or after the tensor.
  bool intact() const;

 private:
  size_t size_;
  std::vector<float> data_;
  std::vector<int64_t> shape_, strides_;
  thalweg_tensor view_{};
};

/// True for the NaN that Guarded holds before anything is written.
bool is_unwritten(float value);

/// A request and all that it lends.
class Samples {
 public:
  /// `inputs`: THALWEG_INPUT_* that are lent. `seed_of`: numbers from which seeds and ids come, when they are
  /// to differ from `numbers`.
  Samples(const std::vector<int64_t>& numbers, uint64_t inputs, const Shape& shape, const Options& options);
  Samples(const Samples&) = delete;
  Samples& operator=(const Samples&) = delete;

  const thalweg_score_request* request() const { return &request_; }
  int64_t batch() const { return static_cast<int64_t>(request_.batch); }
  /// The tensor of THALWEG_INPUT_FRAMES or _LATENTS.
  Tensor& input(uint64_t bit) { return bit == THALWEG_INPUT_FRAMES ? frames_ : latents_; }
  /// What differs between this and `before`, made of the same numbers; "" when nothing does.
  std::string changed(const Samples& before) const;

 private:
  Tensor frames_, latents_, sigmas_, reference_, mask_;
  std::vector<std::string> prompts_, metadata_;
  std::vector<const char*> prompt_views_, metadata_views_;
  std::vector<uint64_t> ids_, seeds_;
  std::vector<int64_t> groups_;
  thalweg_score_request request_{};
};

}  // namespace thalweg::validator
