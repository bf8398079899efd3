// Several losses of one forward pass, a backward pass each: our own autograd functions must give the same
// gradients again, and nothing may have been freed or written over.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "engine/core/rng.h"
#include "engine/losses/nft.h"
#include "engine/models/sd3/sd3_model.h"
#include "engine/optim/gradients.h"
#include "pipelines/stages/policy.h"

namespace thalweg {
namespace {

struct Setting {
  const char* name;
  at::ScalarType dtype;
  bool lora, checkpointing;
};

class RetainedGraph : public ::testing::TestWithParam<Setting> {};

TEST_P(RetainedGraph, GivesEachLossItsOwnGradient) {
  const auto& [name, dtype, lora, checkpointing] = GetParam();
  ModelOptions options;
  options.dtype = dtype;
  options.activation_checkpointing = checkpointing;
  options.max_sequence_length = 1;
  const auto model = load_sd3("assets/models/tiny-sd3", options);
  ModelSection section;
  section.path = "assets/models/tiny-sd3";
  section.dtype = dtype == at::kFloat ? "float32" : "bfloat16";
  section.has_lora = lora;
  section.lora.rank = 4;
  const PolicySpace space(*model, section, 1);
  const auto conditioning = model->encode({"two red circles", "a blue square"});
  const auto shape = model->latent_shape(64, 64, 1).sizes();
  const auto x = normal_noise(1, Purpose::data, {0, 1}, 0, shape),
             x0 = normal_noise(2, Purpose::data, {0, 1}, 0, shape);
  const auto sigma_B = at::tensor({0.3, 0.8}, at::kDouble);
  // A LoRA's B starts at 0, where half of the gradients are.
  auto parameters = cloned(space.start());
  for (auto& [key, value] : parameters)
    value.add_(0.01 * normal_noise(3, Purpose::data, {0}, 0, value.sizes())[0]);
  parameters = leaves(parameters);
  const auto losses = [&] {
    const auto v = space.bind(parameters)(x, {sigma_B, sigma_B, -1, {0, 1}}, conditioning);
    std::vector<at::Tensor> all;
    for (const double a : {3.0, -2.0, 0.5}) {
      const auto r_B = nft_optimality(at::tensor({a, -a * a}, at::kDouble), 5.0).to(v.scalar_type());
      all.push_back(nft_loss(v, 0.9 * v, x, x0, sigma_B, r_B, 1.0, 5.0).mean());
    }
    return all;
  };
  const auto shared = gradients_of(losses(), parameters);
  ASSERT_EQ(shared.size(), 3u);
  for (size_t k = 0; k < 3; ++k) {
    const auto alone = gradients_of(losses()[k], parameters);
    ASSERT_EQ(shared[k].size(), alone.size());
    double norm = 0.0;
    for (const auto& [key, gradient] : alone) {
      EXPECT_TRUE(at::equal(shared[k].at(key), gradient)) << key << " of loss " << k;
      norm += gradient.to(at::kDouble).square().sum().item<double>();
    }
    EXPECT_GT(norm, 0.0);
  }
  EXPECT_FALSE(at::equal(shared[0].begin()->second, shared[1].begin()->second));
}

INSTANTIATE_TEST_SUITE_P(TinySd3, RetainedGraph,
                         ::testing::Values(Setting{"lora", at::kFloat, true, false},
                                           Setting{"lora_bfloat16", at::kBFloat16, true, false},
                                           Setting{"lora_checkpointed", at::kFloat, true, true},
                                           Setting{"all_weights", at::kFloat, false, false},
                                           Setting{"all_weights_bfloat16_checkpointed", at::kBFloat16, false,
                                                   true}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace thalweg
