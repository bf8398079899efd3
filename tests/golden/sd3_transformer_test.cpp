// Numbers of diffusers' SD3Transformer2DModel (0.42.1) in float64, with weights and inputs that are plain
// sine waves.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "tests/golden/small_sd3.h"

namespace thalweg {
namespace {

at::Tensor wave(at::IntArrayRef shape, double phase, double scale) {
  return ((at::arange(c10::multiply_integers(shape), at::kDouble) * 1.3 + phase).sin() * scale).view(shape);
}

TEST(Sd3TransformerGolden, AgreesWithDiffusers) {
  const auto config = small_sd3_config();  // qk-norm everywhere, dual attention in block 0, block 1 the last
  TensorMap weights;
  for (const auto& spec : sd3_specs(config))
    weights[spec.name] = wave(spec.shape, static_cast<double>(spec.name.size()), 0.3);
  weights["pos_embed.pos_embed"] = sd3_position_table(config).to(at::kDouble);
  Binder binder(weights, "transformer");
  const auto transformer = Sd3Transformer::bind(config, binder);
  binder.finish();
  const auto y = transformer(wave({2, 4, 8, 8}, 0.5, 1.0), at::tensor({900.0, 100.0}, at::kFloat),
                             wave({2, 5, 12}, 1.5, 1.0), wave({2, 10}, 2.5, 1.0));
  ASSERT_EQ(y.sizes(), at::IntArrayRef({2, 4, 8, 8}));
  const double golden[] = {0.77736483, 0.44036913,  -0.69750412, -0.39349405,
                           0.46090143, -0.02843292, 0.09601403};
  for (int64_t i = 0; i < 7; ++i) EXPECT_NEAR(y.flatten()[73 * i].item<double>(), golden[i], 1e-5) << i;
  EXPECT_NEAR(y.norm().item<double>(), 9.2032415, 1e-4);
  EXPECT_NEAR((y * wave({2, 4, 8, 8}, 3.5, 1.0)).sum().item<double>(), -9.2886428, 1e-4);
}

}  // namespace
}  // namespace thalweg
