#include <ATen/ATen.h>
#include <c10/core/Allocator.h>
#include <c10/core/GradMode.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "engine/core/error.h"
#include "engine/models/wan/autoencoder_kl_wan.h"

namespace thalweg {
namespace {

AutoencoderKlWanConfig small_config() {
  AutoencoderKlWanConfig c;
  c.base_dim = c.decoder_base_dim = 4;
  c.z_dim = 3;
  c.num_res_blocks = 1;
  c.dim_mult = {1, 2, 1};
  c.temporal = {true, true};
  c.latents_mean = {0.1, -0.2, 0.3};
  c.latents_std = {1.5, 0.5, 2.0};
  return c;
}

TensorMap random_weights(const AutoencoderKlWanConfig& config, at::ScalarType dtype) {
  Binder declare;
  AutoencoderKlWan::bind(config, declare);
  auto weights = initial_parameters(declare.specs(), 7);
  for (auto& [name, tensor] : weights) tensor = tensor.to(dtype);
  return weights;
}

at::Tensor noise(at::IntArrayRef shape, at::ScalarType dtype = at::kDouble) {
  return at::sin(at::arange(c10::multiply_integers(shape), dtype) * 1.7).view(shape);
}

at::Tensor decoded_in_chunks(const AutoencoderKlWan& vae, const at::Tensor& z) {
  std::vector<at::Tensor> parts;
  vae.decode_in_chunks(z, [&](const at::Tensor& x) { parts.push_back(x); });
  return at::cat(parts, 2);
}

// Counted once with diffusers 0.42.1: AutoencoderKLWan's defaults, which are those of Wan 2.1.
TEST(AutoencoderKlWan, DeclaresTheParametersOfWan21) {
  AutoencoderKlWanConfig config;
  EXPECT_EQ(config.factor(), 8);
  Binder declare;
  AutoencoderKlWan::bind(config, declare);
  int64_t parameters = 0;
  for (const auto& spec : declare.specs()) parameters += c10::multiply_integers(spec.shape);
  EXPECT_EQ(declare.specs().size(), 194u);
  EXPECT_EQ(parameters, 126892531);
}

TEST(AutoencoderKlWan, ChunksGiveWhatTheWholeVideoGives) {
  const auto config = small_config();
  const auto weights = random_weights(config, at::kDouble);
  const auto vae = AutoencoderKlWan::bind(config, Binder(weights, "weights"));
  c10::NoGradGuard no_grad;
  for (const int64_t frames : {1, 5, 9, 17}) {
    const auto x = noise({2, 3, frames, 8, 12});
    const auto moments = vae.encode_moments(x);
    EXPECT_EQ(moments.sizes(), (std::vector<int64_t>{2, 6, (frames - 1) / 4 + 1, 2, 3}));
    EXPECT_TRUE(at::allclose(vae.encode_moments_in_chunks(x), moments, 0.0, 1e-12)) << frames;
    const auto z = moments.slice(1, 0, 3);
    const auto pictures = vae.decode(z);
    EXPECT_EQ(pictures.sizes(), x.sizes());
    EXPECT_TRUE(at::allclose(decoded_in_chunks(vae, z), pictures, 0.0, 1e-12)) << frames;
    EXPECT_TRUE(at::allclose(vae.unscaled(vae.scaled(z)), z, 0.0, 1e-12));
  }
}

// No frame sees a later one, and the first latent frame is the first frame's alone.
TEST(AutoencoderKlWan, TheFutureDoesNotShow) {
  const auto config = small_config();
  const auto weights = random_weights(config, at::kDouble);
  const auto vae = AutoencoderKlWan::bind(config, Binder(weights, "weights"));
  c10::NoGradGuard no_grad;
  const auto x = noise({1, 3, 9, 8, 8});
  auto other = x.clone();
  other.slice(2, 5).add_(0.3);
  const auto difference = (vae.encode_moments(x) - vae.encode_moments(other)).abs();
  EXPECT_EQ(difference.slice(2, 0, 2).max().item<double>(), 0.0);
  EXPECT_GT(difference.slice(2, 2).max().item<double>(), 1e-6);
}

TEST(AutoencoderKlWan, EveryParameterGetsItsGradient) {
  const auto config = small_config();
  auto weights = random_weights(config, at::kDouble);
  std::vector<at::Tensor> leaves;
  for (auto& [name, tensor] : weights) {
    tensor.requires_grad_(true);
    leaves.push_back(tensor);
  }
  const auto vae = AutoencoderKlWan::bind(config, Binder(weights, "weights"));
  const auto x = noise({1, 3, 5, 4, 8});
  const auto value = [&] {
    const auto moments = vae.encode_moments(x);
    return vae.decode(moments.slice(1, 0, 3)).square().sum() + moments.square().sum();
  };
  const auto gradients = torch::autograd::grad({value()}, leaves);
  c10::NoGradGuard no_grad;
  size_t i = 0;
  for (auto& [name, tensor] : weights) {  // along its own gradient the value rises by |g|^2
    const auto direction = gradients[i] / gradients[i].norm().clamp_min(1e-30);
    const auto slope = (gradients[i] * direction).sum().item<double>();
    ++i;
    constexpr double kStep = 1e-5;
    tensor.add_(direction, kStep);
    const double above = value().item<double>();
    tensor.sub_(direction, 2 * kStep);
    const double below = value().item<double>();
    tensor.add_(direction, kStep);
    EXPECT_GT(slope, 0.0) << name;
    EXPECT_NEAR((above - below) / (2 * kStep), slope, 1e-4 * (1.0 + slope)) << name;
  }
}

TEST(AutoencoderKlWan, LatentsGetTheirGradientFromFrozenWeights) {
  const auto config = small_config();
  const auto weights = random_weights(config, at::kDouble);
  const auto vae = AutoencoderKlWan::bind(config, Binder(weights, "weights"));
  const auto z = noise({1, 3, 3, 2, 3});
  const auto leaf = z.clone().requires_grad_();
  const auto exact = torch::autograd::grad({vae.decode(leaf).sin().sum()}, {leaf})[0].reshape({-1});
  ASSERT_GT(exact.abs().max().item<double>(), 1e-3);
  for (int64_t i = 0; i < z.numel(); i += 5) {
    auto direction = at::zeros_like(z);
    direction.view({-1})[i] = 1e-5;
    const auto value = [&](const at::Tensor& at) { return vae.decode(at).sin().sum().item<double>(); };
    const double slope = (value(z + direction) - value(z - direction)) / 2e-5;
    EXPECT_NEAR(exact[i].item<double>(), slope, 1e-6 * (1.0 + std::abs(slope))) << i;
  }
}

/// The most bytes that tensors of this thread held at once while it lived, beyond those of its beginning.
class Peak final : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device) override {
    now_ += size;
    peak_ = std::max(peak_, now_);
  }
  bool memoryProfilingEnabled() const override { return true; }
  int64_t bytes() const { return peak_; }

 private:
  int64_t now_ = 0, peak_ = 0;
};

template <typename Run>
int64_t peak_bytes(const Run& run) {
  const auto peak = std::make_shared<Peak>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, peak);
  run();
  return peak->bytes();
}

TEST(AutoencoderKlWan, ChunksNeedTheSameMemoryWhateverTheLength) {
  const auto config = small_config();
  const auto weights = random_weights(config, at::kFloat);
  const auto vae = AutoencoderKlWan::bind(config, Binder(weights, "weights"));
  c10::NoGradGuard no_grad;
  const auto in_chunks = [&](int64_t latent_frames) {
    const auto z = noise({1, 3, latent_frames, 8, 8}, at::kFloat);
    return peak_bytes([&] { vae.decode_in_chunks(z, [](const at::Tensor&) {}); });
  };
  const auto whole = peak_bytes([&] { vae.decode(noise({1, 3, 17, 8, 8}, at::kFloat)); });
  const auto few = in_chunks(3), many = in_chunks(17);
  ASSERT_GT(few, 0);
  EXPECT_LT(many, few + few / 10);  // latents of all frames are there
  EXPECT_GT(whole, 3 * many);
}

std::string complaint(const Json& change) {
  auto config = parse_json(R"({"base_dim":4,"z_dim":2,"dim_mult":[1,2,2],"num_res_blocks":1,
    "temperal_downsample":[true,true],"latents_mean":[0,0],"latents_std":[1,1],"scale_factor_spatial":4,
    "scale_factor_temporal":4,"is_residual":false,"patch_size":null,"attn_scales":[],"dropout":0.0})",
                           "vae");
  config.update(change);
  try {
    AutoencoderKlWan::parse(config, "vae/config.json");
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(AutoencoderKlWan, WhatIsNotSupportedIsRefusedByName) {
  EXPECT_EQ(complaint(Json::object()), "");
  for (const auto& [change, key] : std::vector<std::pair<const char*, const char*>>{
           {R"({"is_residual":true})", "is_residual"},
           {R"({"patch_size":2})", "patch_size"},
           {R"({"attn_scales":[0.5]})", "attn_scales"},
           {R"({"scale_factor_spatial":8})", "scale_factor_spatial"},
           {R"({"scale_factor_temporal":2})", "scale_factor_temporal"},
           {R"({"temperal_downsample":[true,false]})", "temperal_downsample"},
           {R"({"temperal_downsample":[true]})", "temperal_downsample"},
           {R"({"temperal_downsample":[1,1]})", "temperal_downsample"},
           {R"({"latents_mean":[0]})", "latents_mean"},
           {R"({"latents_std":[1,0]})", "latents_std"},
           {R"({"latents_std":null})", "latents_std"},
           {R"({"base_dim":0})", "base_dim"},
           {R"({"z_dim":2000})", "z_dim"},
           {R"({"dim_mult":[]})", "dim_mult"},
           {R"({"num_res_blocks":-1})", "num_res_blocks"}})
    EXPECT_NE(complaint(parse_json(change, "change")).find(key), std::string::npos)
        << change << ": " << complaint(parse_json(change, "change"));
}

}  // namespace
}  // namespace thalweg
