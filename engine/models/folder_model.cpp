#include "engine/models/folder_model.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "engine/models/component.h"
#include "engine/models/schedulers/few_step_scheduler.h"
#include "engine/weights/safetensors.h"

namespace thalweg {
namespace {

constexpr const char* kBackbone = "transformer";

}  // namespace

FolderModel::FolderModel(const std::filesystem::path& path, const ModelOptions& options, FlowGrid grid)
    : folder_(open_model_folder(path, options.variant)),
      options_(options),
      scheduler_(folder_, options.scheduler, grid) {}

Binder FolderModel::backbone_binder(const TensorMap& parameters, const Adapter* adapter) const {
  return Binder(parameters, (folder_.root / kBackbone).string(), adapter);
}

void FolderModel::read_backbone(const std::function<void(const Binder&)>& bind) {
  backbone_ = converted(component_weights(folder_, kBackbone), options_.dtype, options_.device);
  const Binder declare;
  bind(declare);
  specs_ = declare.specs();
  const auto check = backbone_binder(backbone_, nullptr);
  bind(check);
  check.finish();
}

TensorMap FolderModel::master_backbone() const {
  TensorMap masters;
  for (const auto& [name, tensor] : component_weights(folder_, kBackbone))
    masters[name] = tensor.to(options_.masters_on_host ? at::kCPU : options_.device, at::kFloat,
                              /*non_blocking=*/false, /*copy=*/true);
  return masters;
}

std::vector<std::filesystem::path> FolderModel::backbone_files() const {
  auto files = component_files(folder_, kBackbone);
  std::erase_if(files, [](const auto& file) { return file.extension() != ".safetensors"; });
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<ModelFile> FolderModel::files() const {
  std::vector<ModelFile> files = {
      {folder_.root / kBackbone / "config.json", std::filesystem::path(kBackbone) / "config.json"}};
  if (scheduler_.has_file()) files.push_back({scheduler_.path(), kSchedulerConfig});
  for (auto& file : frozen_files()) files.push_back(std::move(file));
  return files;
}

void FolderModel::save(const std::filesystem::path& folder, const TensorMap& parameters,
                       at::ScalarType dtype) const {
  copy_model(folder_, files(), folder);
  auto stored = component_weights(folder_, kBackbone);
  for (const auto& [name, tensor] : parameters) stored[name] = tensor.detach().to(dtype);
  write_safetensors(folder / kBackbone / "diffusion_pytorch_model.safetensors", stored, {{"format", "pt"}});
}

}  // namespace thalweg
