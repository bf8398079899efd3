// Where the roles of a run are kept: on the model's device, or on the host with copies that compute. The
// device is LibTorch's "meta", which has shapes and dtypes and no numbers.
#include "pipelines/stages/policy.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/function.h>

#include "engine/core/error.h"
#include "tests/stages/text_model.h"

namespace thalweg {
namespace {

class FarModel : public TextModel {
 public:
  explicit FarModel(at::Device device) : TextModel(""), device_(device) {
    for (const auto& spec : specs_)
      backbone_[spec.name] = at::ones(spec.shape, at::TensorOptions(device).dtype(at::kBFloat16));
  }
  at::Device device() const override { return device_; }
  const std::vector<ParameterSpec>& specs() const override { return specs_; }
  const TensorMap& backbone() const override { return backbone_; }
  TensorMap master_backbone() const override {
    return {{"a.weight", at::ones({6, 4})}, {"b.weight", at::ones({2, 6})}};
  }
  std::vector<std::string> default_lora_targets() const override { return {"a", "b"}; }
  LoraNames lora_names() const override { return {lora_layers(specs_), {}}; }
  Velocity bind(const TensorMap& parameters, const Adapter* adapter) const override {
    bound = adapter ? adapter->tensors : parameters;
    if (adapter)
      scales = {adapter->scale, adapter->scales.contains("b") ? adapter->scales.at("b") : adapter->scale};
    return {};
  }

  mutable TensorMap bound;
  mutable std::pair<double, double> scales;  // of most layers, of b

 private:
  at::Device device_;
  std::vector<ParameterSpec> specs_ = {{"a.weight", {6, 4}}, {"b.weight", {2, 6}}};
  TensorMap backbone_;
};

ModelSection section_of(bool lora) {
  ModelSection section;
  section.dtype = "bfloat16";
  section.has_lora = lora;
  section.lora.rank = 2;
  section.lora.alpha = 8.0;
  return section;
}

void expect_all(const TensorMap& tensors, at::Device device, at::ScalarType dtype) {
  EXPECT_FALSE(tensors.empty());
  for (const auto& [name, tensor] : tensors) {
    EXPECT_EQ(tensor.device(), device) << name;
    EXPECT_EQ(tensor.scalar_type(), dtype) << name;
    EXPECT_TRUE(tensor.requires_grad()) << name;
  }
}

TEST(PolicySpace, WhatIsOffloadedStaysOnTheHostAndCopiesCompute) {
  const FarModel model(at::kMeta);
  for (const bool lora : {true, false}) {
    const PolicySpace space(model, section_of(lora), 1, ReferenceModel::loaded, /*on_host=*/true);
    expect_all(space.start(), at::kCPU, at::kFloat);
    space.bind(space.start());
    expect_all(model.bound, at::kMeta, at::kBFloat16);
    // The copies are of the graph: gradients go back to what is trained.
    for (const auto& [name, tensor] : model.bound)
      EXPECT_EQ(tensor.grad_fn()->name(), "ToCopyBackward0") << name;
  }
}

TEST(PolicySpace, WithoutThatAllIsOnTheDevice) {
  const FarModel model(at::kMeta);
  const PolicySpace space(model, section_of(true), 1);
  expect_all(space.start(), at::kMeta, at::kFloat);
  space.bind(space.start());
  expect_all(model.bound, at::kMeta, at::kBFloat16);
}

TEST(PolicySpace, RanksAndScalesByLayer) {
  const FarModel model(at::kCPU);
  auto section = section_of(true);
  section.lora.rank_pattern = {{"b", 4.0}};
  section.lora.alpha_pattern = {{"b", 1.0}};
  const PolicySpace space(model, section, 1);
  EXPECT_EQ(space.start().at("a.lora_A.weight").sizes(), at::IntArrayRef({2, 4}));
  EXPECT_EQ(space.start().at("b.lora_A.weight").sizes(), at::IntArrayRef({4, 6}));
  EXPECT_EQ(space.start().at("b.lora_B.weight").sizes(), at::IntArrayRef({2, 4}));
  space.bind(space.start());
  EXPECT_EQ(model.scales, std::pair(4.0, 0.25));
  EXPECT_EQ(space.strength().rank_of("b"), 4);
  section.lora.rank_pattern = {{"c", 4.0}};
  EXPECT_THROW(PolicySpace(model, section, 1), Error);
}

}  // namespace
}  // namespace thalweg
