// A model with several LoRAs at once is the one whose weights have the sum of their updates, in float64.
#include "engine/weights/lora_sum.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/golden/small_sd3.h"

namespace thalweg {
namespace {

class SumOnAModel : public ::testing::Test {
 protected:
  LoraFile lora(const std::vector<std::string>& targets, int64_t rank, uint64_t seed) const {
    const auto specs = sd3_specs(config_);
    const auto fresh = make_adapter(specs, linear_modules(specs, targets, ""), {rank, 3.0}, seed);
    LoraFile lora;
    lora.scale = fresh.scale;
    for (const auto& [name, tensor] : fresh.tensors)
      lora.tensors[name] = normal_noise(seed, Purpose::data, {static_cast<int64_t>(lora.tensors.size())}, 0,
                                        tensor.sizes(), at::kDouble)[0] *
                           0.3;
    return lora;
  }
  at::Tensor velocity(const TensorMap& weights, const Adapter* adapter) const {
    const auto sigma_B = at::tensor({0.8, 0.3}, at::kDouble);
    return small_sd3_velocity(config_, weights, adapter)(
        small_sd3_noise(slots_, at::kDouble), {sigma_B, sigma_B, -1, slots_},
        small_sd3_conditioning(config_, slots_, at::kDouble));
  }
  at::Tensor with(const std::vector<WeightedLora>& parts) const {
    const auto sum = sum_of(parts);
    const Adapter adapter{sum.tensors, sum.scale, sum.scales};
    return velocity(weights_, &adapter);
  }

  const std::vector<int64_t> slots_ = {1, 2};
  const Sd3TransformerConfig config_ = small_sd3_config();
  const TensorMap weights_ = small_sd3_weights(config_, 1, at::kDouble);
  const LoraFile a_ = lora({"attn.to_q", "attn.to_out.0", "ff.net.2"}, 2, 5);
  const LoraFile b_ = lora({"attn.to_q", "norm_out.linear", "attn.add_k_proj"}, 3, 6);
};

double difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

TEST_F(SumOnAModel, IsThatOfTheSummedWeights) {
  auto merged = weights_;
  for (const auto& [lora, weight] : {std::pair(a_, 0.7), std::pair(b_, -0.4)})
    for (const auto& [name, up] : lora.tensors) {
      if (!name.ends_with(".lora_B.weight")) continue;
      const auto layer = name.substr(0, name.size() - std::string(".lora_B.weight").size());
      merged[layer + ".weight"] =
          merged.at(layer + ".weight") +
          at::mm(up, lora.tensors.at(layer + ".lora_A.weight")) * (weight * lora.scale_of(layer));
    }
  const auto expected = velocity(merged, nullptr);
  EXPECT_GT(difference(expected, velocity(weights_, nullptr)), 1e-2);
  EXPECT_LT(difference(with({{a_, 0.7}, {b_, -0.4}}), expected), 1e-12);
}

TEST_F(SumOnAModel, OneHotIsTheOneAlone) {
  const Adapter alone{a_.tensors, a_.scale, a_.scales};
  EXPECT_TRUE(at::equal(with({{a_, 1.0}, {b_, 0.0}}), velocity(weights_, &alone)));
  EXPECT_LT(difference(with({{a_, 0.5}, {a_, 0.5}}), velocity(weights_, &alone)), 1e-12);
}

TEST_F(SumOnAModel, WithoutWeightsItIsTheBase) {
  EXPECT_TRUE(at::equal(with({{a_, 0.0}, {b_, 0.0}}), velocity(weights_, nullptr)));
}

}  // namespace
}  // namespace thalweg
