// What the families that come in a pipeline's folder of diffusers have in common: a transformer as backbone,
// a scheduler, components that are copied as they are.
#pragma once

#include <functional>

#include "engine/models/flow_model.h"
#include "engine/models/schedulers/folder_scheduler.h"
#include "engine/models/text_length.h"

namespace thalweg {

class FolderModel : public FlowModel, public LimitedText {
 public:
  at::Device device() const override { return options_.device; }
  const std::vector<ParameterSpec>& specs() const override { return specs_; }
  const TensorMap& backbone() const override { return backbone_; }
  TensorMap master_backbone() const override;
  std::vector<std::filesystem::path> backbone_files() const override;
  std::vector<ModelFile> files() const override;
  void save(const std::filesystem::path& folder, const TensorMap& parameters,
            at::ScalarType dtype) const override;

 protected:
  FolderModel(const std::filesystem::path& path, const ModelOptions& options,
              FlowGrid grid = FlowGrid::training);

  /// Reads the transformer's weights. `bind`: binds one of the folder's config. Throws Error naming what is
  /// missing, misshapen or extra.
  void read_backbone(const std::function<void(const Binder&)>& bind);
  /// Over the transformer's parameters, for errors that name its folder.
  Binder backbone_binder(const TensorMap& parameters, const Adapter* adapter) const;
  /// Files of the VAE, text encoders and tokenizers.
  virtual std::vector<ModelFile> frozen_files() const = 0;

  const ModelFolder folder_;
  const ModelOptions options_;
  const FolderScheduler scheduler_;

 private:
  TensorMap backbone_;
  std::vector<ParameterSpec> specs_;
};

}  // namespace thalweg
