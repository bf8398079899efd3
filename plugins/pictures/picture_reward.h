// A reward of one picture and its prompt; of a video the mean over its frames. K: dimensions.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <unordered_map>

#include "engine/core/error.h"
#include "engine/models/vision/image_processor.h"
#include "thalweg/cpp/reward.hpp"

namespace pictures {

/// What `load` throws as thalweg::Error, at `pointer` of the configuration.
template <class Load>
auto at_pointer(const char* pointer, Load&& load) {
  try {
    return load();
  } catch (const thalweg::Error& e) {
    throw std::invalid_argument(std::string(pointer) + ": " + e.what());
  }
}

/// The image processor of `folder`. Throws thalweg::Error naming it unless its pictures are `side` pixels a
/// side, which the model takes.
thalweg::ImageProcessor load_image_processor(const std::filesystem::path& folder, int64_t side);

class PictureReward : public thalweg::plugin::DifferentiableReward {
 public:
  void score(const thalweg::plugin::Request& request, thalweg::plugin::View<float, 2> values_BK) override;
  void vjp(const thalweg::plugin::Request& request, std::uint64_t input,
           thalweg::plugin::View<const float, 2> cotangent_BK,
           thalweg::plugin::View<float, 5> gradient) override;

 protected:
  /// The prompt as the model reads it; kept, so it is asked for once a prompt. Throws thalweg::Error for a
  /// prompt that cannot be read, whose samples are not scored.
  virtual at::Tensor read(const std::string& prompt) const = 0;

  /// frame: float32, finite -> float32 [K]; differentiable where gradient_inputs() has frames.
  virtual at::Tensor scores_of(const at::Tensor& frame_3HW, const at::Tensor& prompt) const = 0;

 private:
  std::optional<at::Tensor> prompt_of_scorable(const thalweg::plugin::Request& request, int64_t b,
                                               const at::Tensor& frames_BF3HW);

  std::unordered_map<std::string, at::Tensor> prompts_;
};

}  // namespace pictures
