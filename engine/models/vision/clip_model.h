// CLIPModel of transformers: both towers into one space (Radford et al. 2021, arXiv 2103.00020). Weights of
// this form: OpenAI's CLIP, LAION's OpenCLIP, PickScore.
#pragma once

#include <filesystem>

#include "engine/models/text/clip_text_encoder.h"
#include "engine/models/vision/clip_vision_encoder.h"

namespace thalweg {

struct ClipModel {
  ClipVisionEncoder vision;
  ClipTextEncoder text;
  at::Tensor logit_scale;  // a number; its exponential multiplies cosines
};

/// From a folder as CLIPModel.save_pretrained writes it: config.json, model.safetensors or its shards. In
/// float32, whatever the file's type. Throws Error naming the file, and what is missing, extra, misshapen or
/// not supported in it.
ClipModel load_clip_model(const std::filesystem::path& folder);

/// The features scaled to length 1.
at::Tensor unit_length(const at::Tensor& features_BP);

}  // namespace thalweg
