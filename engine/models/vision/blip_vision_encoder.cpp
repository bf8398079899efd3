#include "engine/models/vision/blip_vision_encoder.h"

#include <ATen/ATen.h>

#include "engine/core/error.h"
#include "engine/weights/config.h"

namespace thalweg {

BlipVisionConfig BlipVisionEncoder::parse(const Json& json, const std::filesystem::path& path) {
  const auto type = config_text(json, "model_type", "blip_vision_model", path);
  if (type != "blip_vision_model")
    throw Error(path.string(),
                "\"model_type\" is \"" + type + "\": only blip_vision_model is supported here");
  Config c;
  c.image_size = config_integer(json, "image_size", c.image_size, 1, 16384, path);
  c.patch_size = config_integer(json, "patch_size", c.patch_size, 1, c.image_size, path);
  read_clip_layer_config(json, path, c);
  return c;
}

BlipVisionEncoder BlipVisionEncoder::bind(const Config& c, Binder binder) {
  auto embeddings = binder.sub("embeddings.");
  BlipVisionEncoder encoder;
  encoder.config_ = c;
  encoder.class_embedding_11D_ =
      embeddings.tensor("class_embedding", {1, 1, c.hidden_size}, Init::normal_002);
  encoder.position_embedding_1LD_ =
      embeddings.tensor("position_embedding", {1, c.grid() * c.grid() + 1, c.hidden_size}, Init::normal_002);
  encoder.to_patches_ =
      embeddings.conv2d("patch_embedding", 3, c.hidden_size, c.patch_size, /*stride=*/c.patch_size);
  encoder.layers_ = ClipLayer::bind_all(c, binder, ClipLayer::Mask::none, ClipLayer::Projections::fused);
  encoder.last_norm_ = binder.layer_norm("post_layernorm", c.hidden_size, c.layer_norm_eps);
  return encoder;
}

at::Tensor BlipVisionEncoder::operator()(const at::Tensor& pixels_B3SS) const {
  const auto side = config_.image_size, batch = pixels_B3SS.size(0);
  TORCH_CHECK(pixels_B3SS.dim() == 4 && pixels_B3SS.size(1) == 3 && pixels_B3SS.size(2) == side &&
              pixels_B3SS.size(3) == side);
  const auto patches_BLD = to_patches_(pixels_B3SS).flatten(2).transpose(1, 2);
  const auto class_B1D = class_embedding_11D_.expand({batch, 1, config_.hidden_size});
  auto x_BLD = at::cat({class_B1D, patches_BLD}, 1) + position_embedding_1LD_;
  for (const auto& layer : layers_) x_BLD = layer(x_BLD);
  return layer_norm(last_norm_, x_BLD);
}

}  // namespace thalweg
