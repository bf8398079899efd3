// A model that can be followed by hand: v(x) = a x + b on latents of 2 x 2, float64, so that gradients and
// updates have closed forms. For an empty prompt `of_empty` is added.
#pragma once

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <mutex>

#include "engine/models/flow_model.h"
#include "samplers/schedules/linear.h"

namespace thalweg {

class SmallModel : public FlowModel {
 public:
  explicit SmallModel(double a = 0.5, double b = 0.1, double of_empty = 0.0) : of_empty_(of_empty) {
    const auto options = at::TensorOptions(at::kDouble);
    backbone_ = {{"a", at::full({1}, a, options)}, {"b", at::full({1}, b, options)}};
  }

  at::ScalarType latent_dtype() const override { return at::kDouble; }
  LatentShape latent_shape(int64_t, int64_t, int64_t) const override { return {1, 1, 2, 2}; }
  Conditioning encode(const std::vector<std::string>& prompts) const override { return {prompts, {}}; }
  Schedule schedule(int64_t steps, int64_t, int64_t) const override { return linear_schedule(steps); }
  Velocity bind(const TensorMap& p, const Adapter*) const override {
    ++binds;
    return
        [this, a = p.at("a"), b = p.at("b")](const at::Tensor& x, const Step& step, const Conditioning& c) {
          if (c10::GradMode::is_enabled() && a.requires_grad() && step.sigma_B.defined()) {
            const auto* sigma = step.sigma_B.const_data_ptr<double>();
            const std::lock_guard lock(mutex_);
            trained_sigmas.emplace_back(sigma, sigma + step.sigma_B.numel());
          }
          if (of_empty_ == 0.0) return a * x + b;
          std::vector<double> added;
          for (const auto& prompt : c.prompts) added.push_back(prompt.empty() ? of_empty_ : 0.0);
          return a * x + b + at::tensor(added, at::kDouble).view({-1, 1, 1, 1, 1});
        };
  }
  const std::vector<ParameterSpec>& specs() const override { return specs_; }
  const TensorMap& backbone() const override { return backbone_; }
  TensorMap master_backbone() const override {
    return {{"a", backbone_.at("a").clone()}, {"b", backbone_.at("b").clone()}};
  }
  std::vector<std::string> default_lora_targets() const override { return {}; }
  LoraNames lora_names() const override { return {}; }
  std::string architecture() const override { return "small"; }
  std::vector<std::filesystem::path> backbone_files() const override { return {}; }
  at::Tensor decode(const at::Tensor& latents_BCFHW) const override {
    return latents_BCFHW.permute({0, 2, 1, 3, 4}).expand({-1, -1, 3, -1, -1}).sigmoid().to(at::kFloat);
  }
  /// The inverse of decode(), of grey pictures.
  at::Tensor encode_frames(const at::Tensor& frames_BF3HW) const override {
    return frames_BF3HW.to(at::kDouble).mean(2, /*keepdim=*/true).logit().transpose(1, 2);
  }
  void save(const std::filesystem::path&, const TensorMap&, at::ScalarType) const override {}

  mutable int64_t binds = 0;
  mutable std::vector<std::vector<double>> trained_sigmas;  // of each call with gradients

 private:
  const double of_empty_;
  mutable std::mutex mutex_;
  std::vector<ParameterSpec> specs_ = {{"a", {1}}, {"b", {1}}};
  TensorMap backbone_;
};

}  // namespace thalweg
