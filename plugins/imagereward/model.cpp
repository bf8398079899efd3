#include "model.h"

#include <ATen/ATen.h>

#include <array>
#include <string>
#include <utility>

#include "engine/core/error.h"
#include "engine/models/binder.h"
#include "engine/weights/config.h"
#include "engine/weights/safetensors.h"

namespace imagereward {
namespace {

using thalweg::BlipTextEncoder;
using thalweg::BlipVisionEncoder;
using thalweg::Error;
using thalweg::Json;

/// The head's layers: the number in their names (dropout has the others) and their width. Nothing stands
/// between them at inference.
constexpr std::array<std::pair<const char*, int64_t>, 5> kHead{
    {{"0", 1024}, {"2", 128}, {"4", 64}, {"6", 16}, {"7", 1}}};
/// Of the head's numbers over the authors' pictures (ImageReward/ImageReward.py).
constexpr double kMean = 0.16717362830052426, kDeviation = 1.0333394966054072;

const Json& part(const Json& config, const char* name, const std::filesystem::path& path) {
  const auto it = config.find(name);
  if (it == config.end() || !it->is_object())
    throw Error(path.string(), std::string("\"") + name + "\" must be an object");
  return *it;
}

}  // namespace

Model Model::load(const std::filesystem::path& folder) {
  std::error_code ec;
  if (!std::filesystem::is_directory(folder, ec))
    throw Error(folder.string(),
                "no such folder; plugins/imagereward/convert_imagereward.py makes it of ImageReward.pt");
  const auto path = folder / "config.json";
  const auto json = thalweg::parse_json_file(path);
  const auto type = thalweg::config_text(json, "model_type", "blip", path);
  if (type != "blip")
    throw Error(path.string(), "\"model_type\" is \"" + type + "\": only blip is supported here");
  const auto vision = BlipVisionEncoder::parse(part(json, "vision_config", path), path / "vision_config");
  const auto text =
      BlipTextEncoder::parse(part(json, "text_config", path), vision.hidden_size, path / "text_config");
  auto tensors = thalweg::read_weights(folder, "model");
  for (auto& [name, tensor] : tensors) tensor = tensor.to(at::kFloat);
  const thalweg::Binder binder(tensors, folder.string());
  Model model{BlipVisionEncoder::bind(vision, binder.sub("vision_model.")),
              BlipTextEncoder::bind(text, binder.sub("text_encoder.")),
              {}};
  auto layers = binder.sub("mlp.layers.");
  int64_t width = text.hidden_size;
  for (const auto& [name, out] : kHead)
    model.head.push_back(layers.linear(name, std::exchange(width, out), out));
  binder.finish();
  return model;
}

at::Tensor Model::operator()(const at::Tensor& pixels_13SS, const at::Tensor& ids_1L) const {
  auto x_1D = text(ids_1L, vision(pixels_13SS)).select(1, 0);
  for (const auto& layer : head) x_1D = layer(x_1D);
  return (x_1D.squeeze() - kMean) / kDeviation;
}

}  // namespace imagereward
