#include "engine/models/vision/clip_model.h"

#include <ATen/ATen.h>

#include "engine/core/error.h"
#include "engine/weights/config.h"
#include "engine/weights/safetensors.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

struct ClipConfig {
  ClipVisionConfig vision;
  ClipTextConfig text;
};

/// A tower's part of the config. Files of before transformers 4.27 hold it a second time under "<part>_dict";
/// where they do, the peer reads that one alone.
const Json& part(const Json& config, const std::string& name) {
  static const Json absent = Json::object();
  for (const auto& key : {name + "_dict", name})
    if (const auto it = config.find(key); it != config.end() && !it->is_null()) return *it;
  return absent;
}

ClipConfig parse(const Json& json, const fs::path& path) {
  const auto type = config_text(json, "model_type", "clip", path);
  if (type != "clip")
    throw Error(path.string(), "\"model_type\" is \"" + type + "\": only clip is supported here");
  ClipConfig c;
  c.vision = ClipVisionEncoder::parse(part(json, "vision_config"), path / "vision_config");
  c.text = ClipTextEncoder::parse(part(json, "text_config"), path / "text_config");
  // The towers' own projection_dim is for models of one tower.
  c.vision.projection_dim = c.text.projection_dim =
      config_integer(json, "projection_dim", 512, 1, 65536, path);
  return c;
}

}  // namespace

ClipModel load_clip_model(const fs::path& folder) {
  std::error_code ec;
  if (!fs::is_directory(folder, ec))
    throw Error(folder.string(),
                "no such folder; it should hold config.json and model.safetensors, as "
                "CLIPModel.save_pretrained writes them");
  const auto path = folder / "config.json";
  const auto config = parse(parse_json_file(path), path);
  auto tensors = read_weights(folder, "model");
  // Buffers of old files that the peer derives.
  std::erase_if(tensors, [](const auto& entry) { return entry.first.ends_with(".position_ids"); });
  for (auto& [name, tensor] : tensors) tensor = tensor.to(at::kFloat);
  Binder binder(tensors, folder.string());
  ClipModel model{ClipVisionEncoder::bind(config.vision, binder), ClipTextEncoder::bind(config.text, binder),
                  binder.tensor("logit_scale", {}, Init::fixed)};
  binder.finish();
  return model;
}

at::Tensor unit_length(const at::Tensor& features_BP) {
  return features_BP / features_BP.norm(2, -1, /*keepdim=*/true);
}

}  // namespace thalweg
