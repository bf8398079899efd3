#include "engine/models/vision/clip_vision_encoder.h"

#include <ATen/ATen.h>

#include "engine/core/error.h"
#include "engine/weights/config.h"

namespace thalweg {

ClipVisionConfig ClipVisionEncoder::parse(const Json& json, const std::filesystem::path& path) {
  const auto type = config_text(json, "model_type", "clip_vision_model", path);
  if (type != "clip_vision_model")
    throw Error(path.string(),
                "\"model_type\" is \"" + type + "\": only clip_vision_model is supported here");
  Config c;
  c.image_size = config_integer(json, "image_size", c.image_size, 1, 16384, path);
  c.patch_size = config_integer(json, "patch_size", c.patch_size, 1, c.image_size, path);
  c.projection_dim = config_integer(json, "projection_dim", c.projection_dim, 1, 65536, path);
  if (config_integer(json, "num_channels", 3, 1, 1024, path) != 3)
    throw Error(path.string(), "\"num_channels\" must be 3");
  read_clip_layer_config(json, path, c);
  return c;
}

ClipVisionEncoder ClipVisionEncoder::bind(const Config& c, Binder binder) {
  auto vision = binder.sub("vision_model.");
  const auto patch = c.patch_size, width = c.hidden_size;
  ClipVisionEncoder encoder;
  encoder.config_ = c;
  encoder.class_embedding_D_ = vision.tensor("embeddings.class_embedding", {width}, Init::normal_002);
  encoder.patch_weight_D3KK_ = vision.tensor("embeddings.patch_embedding.weight", {width, 3, patch, patch},
                                             Init::kaiming_uniform, 3 * patch * patch);
  encoder.position_embedding_LD_ = vision.tensor("embeddings.position_embedding.weight",
                                                 {c.grid() * c.grid() + 1, width}, Init::normal_002);
  encoder.first_norm_ = vision.layer_norm("pre_layrnorm", width, c.layer_norm_eps);  // spelt so in the files
  encoder.layers_ = ClipLayer::bind_all(c, vision, ClipLayer::Mask::none);
  encoder.last_norm_ = vision.layer_norm("post_layernorm", width, c.layer_norm_eps);
  encoder.projection_ =
      binder.linear("visual_projection", width, c.projection_dim, /*bias=*/false, Init::xavier_uniform);
  return encoder;
}

at::Tensor ClipVisionEncoder::operator()(const at::Tensor& pixels_B3SS) const {
  const auto side = config_.image_size, batch = pixels_B3SS.size(0);
  TORCH_CHECK(pixels_B3SS.dim() == 4 && pixels_B3SS.size(1) == 3 && pixels_B3SS.size(2) == side &&
              pixels_B3SS.size(3) == side);
  const auto patches_BLD =
      at::conv2d(pixels_B3SS, patch_weight_D3KK_, {}, config_.patch_size).flatten(2).transpose(1, 2);
  const auto class_B1D = class_embedding_D_.expand({batch, 1, config_.hidden_size});
  auto x_BLD = layer_norm(first_norm_, at::cat({class_B1D, patches_BLD}, 1) + position_embedding_LD_);
  for (const auto& layer : layers_) x_BLD = layer(x_BLD);
  return projection_(layer_norm(last_norm_, x_BLD.select(1, 0)));
}

}  // namespace thalweg
