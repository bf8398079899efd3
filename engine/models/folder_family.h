// A family of one transformer, one codec and one reader of prompts, each from a component of the folder: what
// is the same whatever they are. A family adds the sizes that it draws, its noise levels and its velocity.
#pragma once

#include <string>
#include <vector>

#include "engine/models/component.h"
#include "engine/models/folder_model.h"

namespace thalweg {

/// Transformer: parse(), bind(), checkpoint_blocks(), and a Config that tells latent_channels(). Codec: from
/// the folder, dtype, device and that number. Text: from the folder, the options and the Config.
template <typename Transformer, typename Codec, typename Text>
class FolderFamily : public FolderModel {
 public:
  Conditioning encode(const std::vector<std::string>& prompts) const override {
    return {prompts, text_.encode(prompts)};
  }
  TextSource text_source() const override { return text_.source(); }
  void release_text_encoders() override { text_.release(); }
  std::vector<TextCut> cuts(const std::string& prompt) const override { return text_.cuts(prompt); }

  at::Tensor decode(const at::Tensor& latents_BCFHW) const override { return codec_.decode(latents_BCFHW); }
  at::Tensor encode_frames(const at::Tensor& frames_BF3HW) const override {
    return codec_.encode(frames_BF3HW);
  }

 protected:
  FolderFamily(const std::filesystem::path& path, const ModelOptions& options,
               FlowGrid grid = FlowGrid::training)
      : FolderModel(path, options, grid),
        config_(parse_component<Transformer>(folder_, "transformer")),
        codec_(folder_, options.vae_dtype, options.device, config_.latent_channels()),
        text_(folder_, options, config_) {
    read_backbone([&](const Binder& binder) { Transformer::bind(config_, binder); });
  }

  /// Over `parameters`, as the options say.
  Transformer bound(const TensorMap& parameters, const Adapter* adapter) const {
    const auto binder = backbone_binder(parameters, adapter);
    auto transformer = Transformer::bind(config_, binder);
    binder.finish();
    if (options_.activation_checkpointing) transformer.checkpoint_blocks();
    return transformer;
  }

  const typename Transformer::Config config_;
  const Codec codec_;

 private:
  std::vector<ModelFile> frozen_files() const override {
    auto files = component_copy(folder_, "vae");
    for (auto& file : text_.files()) files.push_back(std::move(file));
    return files;
  }

  Text text_;
};

}  // namespace thalweg
