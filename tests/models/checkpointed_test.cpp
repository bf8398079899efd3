// Laws of activation checkpointing: the same gradients to the bit, in less memory.
#include "engine/models/checkpointed.h"

#include <ATen/ATen.h>
#include <c10/core/Allocator.h>
#include <c10/core/GradMode.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <gtest/gtest.h>

#include "engine/optim/gradients.h"
#include "tests/golden/small_sd3.h"

namespace thalweg {
namespace {

// Largest sum of living bytes that this thread asked LibTorch's CPU allocator for.
class MemoryMeter final : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device) override {
    living_ += size;
    peak = std::max(peak, living_);
  }
  bool memoryProfilingEnabled() const override { return true; }

  int64_t peak = 0;

 private:
  int64_t living_ = 0;
};

Velocity sd3(const Sd3TransformerConfig& config, const TensorMap& weights, const Adapter* adapter,
             bool checkpoint) {
  Binder binder(weights, "transformer", adapter);
  auto transformer = Sd3Transformer::bind(config, binder);
  binder.finish();
  if (checkpoint) transformer.checkpoint_blocks();
  return sd3_velocity(std::move(transformer));
}

at::Tensor loss_of(const Velocity& velocity, const Sd3TransformerConfig& config, at::Tensor x) {
  const std::vector<int64_t> slots = {1, 2};
  const auto sigma = at::tensor({0.8, 0.3}, at::kDouble);
  if (!x.defined()) x = small_sd3_noise(slots);
  return velocity(x, {sigma, sigma, -1, slots}, small_sd3_conditioning(config, slots)).square().mean();
}

void expect_equal(const TensorMap& a, const TensorMap& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    EXPECT_TRUE(at::equal(tensor, b.at(name))) << name;
    // The last block's context stream ends: nothing asks for its queries.
    if (name.find("transformer_blocks.3.attn.add_q") == std::string::npos &&
        name.find("transformer_blocks.3.attn.norm_added_q") == std::string::npos) {
      EXPECT_GT(tensor.abs().max().item<double>(), 0.0) << name;
    }
  }
}

class Checkpointed : public ::testing::Test {
 protected:
  Sd3TransformerConfig config_ = [] {
    auto c = small_sd3_config();
    c.num_layers = 4;
    c.dual_attention_layers = {0, 1};
    return c;
  }();
  const TensorMap weights_ = small_sd3_weights(config_, 1);
};

TEST_F(Checkpointed, GradientsOfAllParametersAreEqualToTheBit) {
  auto policy = leaves(cloned(weights_));
  policy.at("pos_embed.pos_embed").set_requires_grad(false);
  TensorMap trained = policy;
  trained.erase("pos_embed.pos_embed");
  TensorMap gradients[2];
  for (const bool checkpoint : {false, true})
    gradients[checkpoint] =
        gradients_of(loss_of(sd3(config_, policy, nullptr, checkpoint), config_, {}), trained);
  EXPECT_GT(gradients[0].size(), 100u);
  expect_equal(gradients[1], gradients[0]);
}

TEST_F(Checkpointed, GradientsOfAnAdapterInBfloat16AreEqualToTheBit) {
  const auto backbone = cast(weights_, at::kBFloat16);
  auto adapter =
      make_adapter(sd3_specs(config_),
                   {"transformer_blocks.0.attn.to_q", "transformer_blocks.0.attn2.to_v",
                    "transformer_blocks.3.ff.net.2", "transformer_blocks.2.norm1.linear", "context_embedder"},
                   {2, 4.0}, 7);
  for (auto& [name, tensor] : adapter.tensors)
    tensor = normal_noise(8, Purpose::data, {static_cast<int64_t>(name.size())}, 0, tensor.sizes())[0];
  const auto policy = leaves(adapter.tensors);
  TensorMap gradients[2];
  for (const bool checkpoint : {false, true}) {
    const Adapter cast_adapter{cast(policy, at::kBFloat16), adapter.scale};
    gradients[checkpoint] =
        gradients_of(loss_of(sd3(config_, backbone, &cast_adapter, checkpoint), config_, {}), policy);
  }
  EXPECT_EQ(gradients[0].size(), 10u);
  expect_equal(gradients[1], gradients[0]);
}

TEST_F(Checkpointed, GradientsOfTheInputAreEqualToTheBit) {
  at::Tensor gradients[2];
  for (const bool checkpoint : {false, true}) {
    const auto x = small_sd3_noise({1, 2}).set_requires_grad(true);
    const auto loss = loss_of(sd3(config_, weights_, nullptr, checkpoint), config_, x);
    gradients[checkpoint] = gradients_of(loss, {{"x", x}}).at("x");
  }
  EXPECT_TRUE(at::equal(gradients[1], gradients[0]));
  EXPECT_GT(gradients[0].abs().max().item<double>(), 0.0);
}

// Several heads, or a monitor, differentiate one graph more than once.
TEST_F(Checkpointed, SeveralBackwardPassesThroughOneGraph) {
  const auto policy = leaves(cloned(weights_));
  TensorMap trained = policy;
  trained.erase("pos_embed.pos_embed");
  const std::vector<int64_t> slots = {1, 2};
  const auto sigma = at::tensor({0.8, 0.3}, at::kDouble);
  const auto losses_of = [&](bool checkpoint) {
    const auto v = sd3(config_, policy, nullptr, checkpoint)(
        small_sd3_noise(slots), {sigma, sigma, -1, slots}, small_sd3_conditioning(config_, slots));
    return std::vector<at::Tensor>{v.square().mean(), v[0].abs().mean(), v.mean()};
  };
  const auto losses = losses_of(true);
  const auto kept = gradients_of(losses, trained), plain = gradients_of(losses_of(false), trained);
  ASSERT_EQ(kept.size(), 3u);
  for (size_t head = 0; head < kept.size(); ++head) {
    expect_equal(kept[head], plain[head]);
    expect_equal(kept[head], gradients_of(losses_of(true)[head], trained));
  }
  // The last pass has let go of what was kept.
  EXPECT_THROW(gradients_of(losses[0], trained), c10::Error);
}

TEST_F(Checkpointed, BackwardMayOutliveTheTransformer) {
  const auto policy = leaves(cloned(weights_));
  at::Tensor loss;
  {
    const auto velocity = sd3(config_, policy, nullptr, true);
    loss = loss_of(velocity, config_, {});
  }
  const auto name = std::string("transformer_blocks.1.ff.net.2.weight");
  EXPECT_GT(gradients_of(loss, {{name, policy.at(name)}}).at(name).abs().max().item<double>(), 0.0);
}

TEST_F(Checkpointed, WithoutGradientsItIsThePartItself) {
  const auto policy = leaves(cloned(weights_));
  const c10::NoGradGuard no_grad;
  const auto plain = loss_of(sd3(config_, policy, nullptr, false), config_, {});
  const auto loss = loss_of(sd3(config_, policy, nullptr, true), config_, {});
  EXPECT_FALSE(loss.requires_grad());
  EXPECT_TRUE(at::equal(loss, plain));
}

// Sixteen blocks of 64 tokens: what they keep dwarfs the weights' gradients.
TEST(CheckpointedMemory, IsThatOfFewBlocks) {
  auto config = small_sd3_config();
  config.num_layers = 16;
  config.pos_embed_max_size = 8;
  config.dual_attention_layers = {};
  const auto weights = small_sd3_weights(config, 1);
  const std::string name = "transformer_blocks.0.attn.to_q.weight";
  int64_t peaks[2] = {0, 0};
  for (const bool checkpoint : {false, true}) {
    auto policy = weights;
    policy.at(name) = policy.at(name).detach().clone().set_requires_grad(true);
    const auto velocity = sd3(config, policy, nullptr, checkpoint);
    const auto x = normal_noise(1, Purpose::data, {1, 2}, 0, {4, 1, 16, 16});
    const auto meter = std::make_shared<MemoryMeter>();
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, meter);
    gradients_of(loss_of(velocity, config, x), {{name, policy.at(name)}});
    peaks[checkpoint] = meter->peak;
  }
  EXPECT_LT(peaks[1], peaks[0] / 4) << peaks[0] << " bytes without, " << peaks[1] << " with";
}

TEST(CheckpointedPart, GivesGradientsToWhatIsNamedAndNothingElse) {
  const auto x = at::ones({3}), named = at::full({3}, 2.0).set_requires_grad(true),
             captured = at::full({3}, 5.0).set_requires_grad(true);
  const auto part = [=](const std::vector<at::Tensor>& in) {
    return std::vector<at::Tensor>{in[0] * named * captured, in[0] + named};
  };
  const auto y = checkpointed(part, {x}, {named, at::ones({2})});
  ASSERT_EQ(y.size(), 2u);
  const auto gradients = gradients_of(y[0].sum(), {{"named", named}, {"captured", captured}});
  EXPECT_TRUE(at::equal(gradients.at("named"), at::full({3}, 5.0)));
  EXPECT_EQ(gradients.count("captured"), 0u);
}

TEST(CheckpointedPart, RefusesAnInputAsItsOutput) {
  const auto x = at::ones({3}).set_requires_grad(true);
  EXPECT_THROW(checkpointed([](const std::vector<at::Tensor>& in) { return in; }, {x}, {}), c10::Error);
}

}  // namespace
}  // namespace thalweg
