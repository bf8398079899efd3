// A training run on a model of two layers with a LoRA, and two rewards that a table may give.
#pragma once

#include "engine/models/layers.h"
#include "engine/optim/gradients.h"
#include "tests/methods/methods.h"

namespace thalweg {

// v = x + W2 tanh(W1 x) on latents of 2 x 2, float64.
class TwoLayerModel final : public FlowModel {
 public:
  TwoLayerModel() : backbone_(initial_parameters(specs_, 5)) {
    for (auto& [name, tensor] : backbone_) tensor = tensor.to(at::kDouble);
  }
  at::ScalarType latent_dtype() const override { return at::kDouble; }
  LatentShape latent_shape(int64_t, int64_t, int64_t) const override { return {1, 1, 2, 2}; }
  Conditioning encode(const std::vector<std::string>& prompts) const override { return {prompts, {}}; }
  Schedule schedule(int64_t steps, int64_t, int64_t) const override { return linear_schedule(steps); }
  Velocity bind(const TensorMap& p, const Adapter* adapter) const override {
    Binder binder(p, "", adapter);
    const auto first = binder.linear("first", 4, 4, false), second = binder.linear("second", 4, 4, false);
    binder.finish();
    return [=](const at::Tensor& x, const Step&, const Conditioning&) {
      return x + second(first(x.flatten(1)).tanh()).view(x.sizes());
    };
  }
  const std::vector<ParameterSpec>& specs() const override { return specs_; }
  const TensorMap& backbone() const override { return backbone_; }
  TensorMap master_backbone() const override { return cloned(backbone_); }
  std::vector<std::string> default_lora_targets() const override { return {"first", "second"}; }
  LoraNames lora_names() const override { return {lora_layers(specs_), {}}; }
  std::string architecture() const override { return "small"; }
  std::vector<std::filesystem::path> backbone_files() const override { return {}; }
  at::Tensor decode(const at::Tensor& latents_BCFHW) const override {
    return latents_BCFHW.permute({0, 2, 1, 3, 4}).expand({-1, -1, 3, -1, -1}).sigmoid().to(at::kFloat);
  }
  void save(const std::filesystem::path&, const TensorMap&, at::ScalarType) const override {}

 private:
  const std::vector<ParameterSpec> specs_ = {{"first.weight", {4, 4}, Init::kaiming_uniform, 4},
                                             {"second.weight", {4, 4}, Init::kaiming_uniform, 4}};
  TensorMap backbone_;
};

// Of sample i of a rollout what the table says, or, without one, the picture's mean and minus its variance.
class TableReward final : public Reward {
 public:
  using Table = std::vector<std::pair<double, double>>;
  explicit TableReward(Table table) : table_(std::move(table)) {
    info_.name = "table";
    info_.dimensions_K = {"a", "b"};
    info_.required.frames = true;
  }
  const RewardInfo& info() const override { return info_; }
  Scored score(const ScoreInput& input) override {
    const auto pixels = input.frames_BF3HW.flatten(1);
    Scored scored{at::stack({pixels.mean(1), -pixels.var(1, /*unbiased=*/false)}, 1).to(at::kFloat), {}};
    for (size_t i = 0; i < input.sample_ids.size() && !table_.empty(); ++i) {
      const auto& [a, b] = table_[(input.sample_ids[i] & ((uint64_t{1} << 36) - 1)) % table_.size()];
      scored.values_BK[static_cast<int64_t>(i)] = at::tensor({a, b}, at::kFloat);
    }
    scored.values_BK = scored.values_BK.contiguous();
    return scored;
  }
  ScoreGradient gradient(const ScoreInput&, const at::Tensor&) override {
    throw std::logic_error("no gradient");
  }

 private:
  RewardInfo info_;
  Table table_;
};

using Weights = std::vector<std::pair<std::string, double>>;

inline TrainingOptions with_lora(int64_t micro_batch = 4) {
  auto o = stochastic(micro_batch);
  o.model.has_lora = true;
  o.model.lora.rank = 4;
  o.model.lora.alpha = 6.0;
  return o;
}

inline TrainingParts parts(const Weights& weights, const TableReward::Table& table) {
  auto parts = SmallTraining::parts(0.0, [](uint64_t) { return false; });
  parts.model = std::make_unique<TwoLayerModel>();
  parts.rewards = [=] {
    RewardSpec spec;
    spec.plugin = "table";
    spec.dimensions = weights;
    std::vector<RewardMember> members;
    members.push_back({spec, std::make_shared<TableReward>(table)});
    return std::make_unique<RewardSet>(std::move(members));
  };
  return parts;
}

}  // namespace thalweg
