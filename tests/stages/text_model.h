// A model that only encodes: what it gives depends on a file, and it counts what it is asked.
#pragma once

#include <ATen/ATen.h>

#include "engine/core/json.h"
#include "engine/core/rng.h"
#include "engine/models/flow_model.h"

namespace thalweg {

class TextModel : public FlowModel {
 public:
  explicit TextModel(std::filesystem::path weights) : weights_(std::move(weights)) {}

  Conditioning encode(const std::vector<std::string>& prompts) const override {
    encoded += static_cast<int64_t>(prompts.size());
    const auto seed = std::hash<std::string>{}(read_file(weights_));
    std::vector<at::Tensor> rows;
    for (const auto& prompt : prompts)
      rows.push_back(normal_noise(seed, Purpose::data, {static_cast<int64_t>(prompt.size())}, 1, {3, 4}));
    const auto embeds = at::cat(rows).to(dtype);
    return {prompts, {{"embeds", embeds * scale}, {"pooled", embeds.select(1, 0)}}};
  }
  TextSource text_source() const override {
    return {{{"text/model", weights_}}, settings, {{"embeds", {3, 4}}, {"pooled", {4}}}, dtype};
  }
  void release_text_encoders() override { ++released; }

  LatentShape latent_shape(int64_t, int64_t, int64_t) const override { return {}; }
  Schedule schedule(int64_t, int64_t, int64_t) const override { return {}; }
  Velocity bind(const TensorMap&, const Adapter*) const override { return {}; }
  const std::vector<ParameterSpec>& specs() const override { return specs_; }
  const TensorMap& backbone() const override { return backbone_; }
  TensorMap master_backbone() const override { return {}; }
  std::vector<std::string> default_lora_targets() const override { return {}; }
  LoraNames lora_names() const override { return {}; }
  std::string architecture() const override { return "text"; }
  std::vector<std::filesystem::path> backbone_files() const override { return {}; }
  at::Tensor decode(const at::Tensor& latents) const override { return latents; }
  void save(const std::filesystem::path&, const TensorMap&, at::ScalarType) const override {}

  mutable int64_t encoded = 0;
  int64_t released = 0;
  std::string settings = "a";
  at::ScalarType dtype = at::kFloat;
  double scale = 1.0;

 private:
  std::filesystem::path weights_;
  std::vector<ParameterSpec> specs_;
  TensorMap backbone_;
};

}  // namespace thalweg
