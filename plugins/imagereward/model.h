// ImageReward (Xu et al. 2023, arXiv 2304.05977): BLIP's text encoder grounded in a picture, and a head on
// the feature of its first token.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <vector>

#include "engine/models/layers.h"
#include "engine/models/text/blip_text_encoder.h"
#include "engine/models/vision/blip_vision_encoder.h"

namespace imagereward {

struct Model {
  thalweg::BlipVisionEncoder vision;
  thalweg::BlipTextEncoder text;
  std::vector<thalweg::Linear> head;

  /// From a folder as convert_imagereward.py writes it: config.json (a BlipConfig of transformers) and
  /// model.safetensors or its shards, in float32 whatever the file's type. Throws thalweg::Error naming the
  /// file, and what is missing, extra, misshapen or not supported in it.
  static Model load(const std::filesystem::path& folder);

  /// pixels [1,3,S,S] and ids [1,L] -> the score, a number: over the pictures that the authors trained with
  /// about 0 in the mean with a deviation of 1.
  at::Tensor operator()(const at::Tensor& pixels_13SS, const at::Tensor& ids_1L) const;
};

}  // namespace imagereward
