#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <functional>

#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "engine/models/mixture/mixture_config.h"
#include "engine/models/mixture/mixture_model.h"
#include "tests/abi/compiler.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = R"({"shape": [1, 4, 2, 3], "weights": [0.6, 0.4], "means": [-1.5, 1.0],
  "stds": [0.5, 0.35], "prompts": {"right": {"weights": [0.2, 0.8], "means": [0, 2], "stds": [1, 0.25]}}})";

/// A model folder with this mixture/config.json.
fs::path folder_with(const std::string& config) {
  static int count = 0;
  const auto folder = testing::scratch_dir() / ("mixture-" + std::to_string(count++));
  fs::create_directories(folder / "mixture");
  write_file(folder / "model_index.json",
             R"({"_class_name": "GaussianMixturePipeline", "mixture": ["thalweg", "GaussianMixture"]})");
  write_file(folder / "mixture" / "config.json", config);
  return folder;
}

std::unique_ptr<FlowModel> model_of(const std::string& config, const ModelOptions& options = {}) {
  return load_mixture(folder_with(config), options);
}

std::string complaint(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

Step at_level(double t, int64_t batch) {
  Step step;
  step.sigma_B = at::full({batch}, t, at::kDouble);
  return step;
}

at::Tensor latents(const std::vector<int64_t>& slots = {0, 1, 2}) {
  return normal_noise(1, Purpose::data, slots, 0, {1, 4, 2, 3}, at::kDouble);
}

TEST(MixtureModel, VelocityIsThatOfThePromptsMixture) {
  ModelOptions options;
  options.dtype = at::kBFloat16;  // it computes in float64 all the same
  const auto model = model_of(kConfig, options);
  EXPECT_EQ(model->latent_dtype(), at::kDouble);
  const auto c = model->encode({"left", "right", ""});
  const auto x = latents();
  const auto v = model->bind(model->backbone(), nullptr)(x, at_level(0.4, 3), c);
  EXPECT_EQ(v.scalar_type(), at::kDouble);
  const Mixture left{{0.6, 0.4}, {-1.5, 1.0}, {0.5, 0.35}};
  const Mixture right{{0.2, 0.8}, {0.0, 2.0}, {1.0, 0.25}};
  for (const int64_t b : {0, 1, 2}) {
    const auto expected =
        mixture_velocity(mixture_law(b == 1 ? right : left), x[b], at::full({}, 0.4, at::kDouble));
    EXPECT_LT((v[b] - expected).abs().max().item<double>(), 1e-13) << b;
  }
}

TEST(MixtureModel, GradientsReachEveryParameter) {
  const auto model = model_of(kConfig);
  const auto c = model->encode({"left", "right", ""});
  const auto x = latents();
  auto parameters = model->master_backbone();
  std::vector<at::Tensor> leaves;
  for (auto& [name, tensor] : parameters) {
    EXPECT_EQ(tensor.scalar_type(), at::kDouble);
    leaves.push_back(tensor.requires_grad_());
  }
  const auto velocity = model->bind(parameters, nullptr);
  const auto value = [&] { return velocity(x, at_level(0.6, 3), c).sin().sum(); };
  // Twice from one binding: every call has a graph of its own.
  torch::autograd::grad({value()}, leaves);
  const auto gradients = torch::autograd::grad({value()}, leaves);
  c10::NoGradGuard no_grad;
  for (size_t i = 0; i < leaves.size(); ++i) {
    for (int64_t k = 0; k < leaves[i].numel(); ++k) {
      auto element = leaves[i].view({-1})[k];
      const double step = 1e-6, before = element.item<double>();
      element.fill_(before + step);
      const double above = value().item<double>();
      element.fill_(before - step);
      const double slope = (above - value().item<double>()) / (2.0 * step);
      element.fill_(before);
      EXPECT_NEAR(gradients[i].view({-1})[k].item<double>(), slope, 1e-7 * (1.0 + std::abs(slope)));
    }
  }
}

TEST(MixtureModel, SavesWhatItWasGiven) {
  const auto model = model_of(kConfig);
  auto parameters = model->master_backbone();
  parameters["means"].add_(0.125);
  parameters["log_stds"].sub_(0.5);
  parameters["logits"].select(1, 0).add_(2.0);
  const auto folder = testing::scratch_dir() / "saved-mixture";
  model->save(folder, parameters, at::kFloat);
  const auto again = load_mixture(folder, {});
  EXPECT_EQ(again->latent_shape(2, 3, 4).sizes(), (std::vector<int64_t>{1, 4, 2, 3}));
  const auto c = model->encode({"right", "left", "right"});
  EXPECT_TRUE(
      at::equal(c.tensors.at("mixture"), again->encode({"right", "left", "right"}).tensors.at("mixture")));
  const auto x = latents();
  const auto before = model->bind(parameters, nullptr)(x, at_level(0.3, 3), c);
  const auto after = again->bind(again->backbone(), nullptr)(x, at_level(0.3, 3), c);
  EXPECT_LT((after - before).abs().max().item<double>(), 1e-12);
  // What a run reports is measured on what is read back, to the last bit.
  for (const auto& [name, tensor] : model->as_saved(parameters, at::kFloat))
    EXPECT_TRUE(at::equal(tensor, again->backbone().at(name))) << name;
  EXPECT_GT(
      (after - model->bind(model->backbone(), nullptr)(x, at_level(0.3, 3), c)).abs().max().item<double>(),
      0.1);
}

TEST(MixtureModel, FramesAreTheLatentsAsTheyAre) {
  const auto grey = model_of(kConfig);
  const auto x = latents();
  const auto frames = grey->decode(x);
  EXPECT_EQ(frames.sizes(), (std::vector<int64_t>{3, 4, 3, 2, 3}));
  EXPECT_EQ(frames.scalar_type(), at::kFloat);
  for (const int64_t channel : {0, 1, 2})
    EXPECT_TRUE(at::equal(frames.select(2, channel), x.select(1, 0).to(at::kFloat)));
  EXPECT_LT(frames.min().item<float>(), 0.0F);  // not clamped
  const auto rgb = model_of(R"({"shape":[3,1,2,2],"weights":[1],"means":[0],"stds":[1]})");
  auto y = normal_noise(2, Purpose::data, {0, 1}, 0, {3, 1, 2, 2}, at::kDouble).requires_grad_();
  const auto pictures = rgb->decode(y);
  EXPECT_TRUE(at::equal(pictures, y.transpose(1, 2).to(at::kFloat)));
  EXPECT_TRUE(at::equal(torch::autograd::grad({pictures.sum()}, {y})[0], at::ones_like(y)));
}

TEST(MixtureModel, NoiseLevelsAreUniformOrShifted) {
  const auto folder = folder_with(kConfig);
  EXPECT_EQ(load_mixture(folder, {})->schedule(4, 2, 3).sigmas,
            (std::vector<double>{1.0, 0.75, 0.5, 0.25, 0.0}));
  fs::create_directories(folder / "scheduler");
  write_file(folder / "scheduler" / "scheduler_config.json", R"({"shift": 3.0})");
  write_file(folder / "model_index.json",
             R"({"_class_name": "GaussianMixturePipeline", "mixture": ["thalweg", "GaussianMixture"],
                 "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"]})");
  EXPECT_EQ(load_mixture(folder, {})->schedule(2, 2, 3).sigmas, (std::vector<double>{1.0, 0.75, 0.0}));
  // Of a third of the shifts below a half, k 1 / (1 + (k-1) 1) is not 1.
  for (int k = 1; k < 500; k += 7) {
    write_file(folder / "scheduler" / "scheduler_config.json", "{\"shift\": " + std::to_string(k) + "e-3}");
    const auto sigmas = load_mixture(folder, {})->schedule(1 + k % 5, 2, 3).sigmas;
    EXPECT_TRUE(sigmas.front() == 1.0 && sigmas.back() == 0.0) << k;
  }
}

TEST(MixtureModel, HasOneShapeAndNoLayers) {
  const auto model = model_of(kConfig);
  EXPECT_NE(complaint([&] { model->latent_shape(2, 2, 4); }).find("height 2, width 3 and frames 4"),
            std::string::npos);
  EXPECT_TRUE(model->lora_names().layers.empty());
  EXPECT_TRUE(model->default_lora_targets().empty());
  const auto size = mixture_size(folder_with(kConfig), {}, 2, 3, 4);
  EXPECT_EQ(size.backbone.parameters, 12.0);
  EXPECT_EQ(size.frame_elements, 3.0 * 24.0);
  EXPECT_GT(size.forward_flops, 0.0);
  EXPECT_NE(complaint([&] { mixture_size(folder_with(kConfig), {}, 2, 2, 4); }).find("width 3 and frames 4"),
            std::string::npos);
}

TEST(MixtureConfig, RefusesWhatIsNoMixtureAtItsKey) {
  const auto refuses = [](const std::string& config, const std::string& message) {
    const auto folder = folder_with(config);
    const auto said = complaint([&] { load_mixture(folder, {}); });
    EXPECT_EQ(said.rfind((folder / "mixture" / "config.json").string() + ": ", 0), 0u) << said;
    EXPECT_NE(said.find(message), std::string::npos) << said;
    EXPECT_EQ(complaint([&] { mixture_size(folder, {}, 1, 1); }), said);
  };
  const auto mixture = [](const char* weights, const char* means, const char* stds, const char* more = "") {
    return std::string("{\"weights\":") + weights + ",\"means\":" + means + ",\"stds\":" + stds + more + "}";
  };
  EXPECT_EQ(complaint([&] { model_of(mixture("[0.5,0.5]", "[0,1]", "[1,1]")); }), "");
  refuses(mixture("[1.5,-0.5]", "[0,1]", "[1,1]"), "\"weights[1]\" must be a number from");
  refuses(mixture("[1,0]", "[0,1]", "[1,1]"), "\"weights[1]\" must be a number from");
  refuses(mixture("[0.5,0.4]", "[0,1]", "[1,1]"), "\"weights\" must sum to 1");
  refuses(mixture("[0.5,0.500002]", "[0,1]", "[1,1]"), "\"weights\" must sum to 1");
  refuses(mixture("[0.5,0.5]", "[0,1,2]", "[1,1]"), "\"means\" has 3 numbers, \"weights\" 2");
  refuses(mixture("[0.5,0.5]", "[0,1]", "[1]"), "\"stds\" has 1 numbers, \"weights\" 2");
  refuses(mixture("[0.5,0.5]", "[0,1]", "[1,0]"), "\"stds[1]\" must be a number from");
  refuses(mixture("[0.5,0.5]", "[0,1]", "[1,-2]"), "\"stds[1]\"");
  refuses(mixture("[0.5,0.5]", "[0,1e300]", "[1,1]"), "\"means[1]\"");
  refuses(mixture("[0.5,0.5]", "[0,null]", "[1,1]"), "\"means[1]\" must be a number");
  refuses(mixture("[0.5,0.5]", "[0,\"1\"]", "[1,1]"), "\"means[1]\" must be a number");
  refuses(mixture("[]", "[]", "[]"), "\"weights\" must be a list of 1 to 256");
  refuses(mixture("1", "[0]", "[1]"), "\"weights\" must be a list");
  refuses(R"({"weights":[1],"means":[0]})", "\"stds\" is missing");
  refuses("[]", "must be a JSON object");
  const auto shaped = [&](const char* shape) {
    return mixture("[1]", "[0]", "[1]", (std::string(",\"shape\":") + shape).c_str());
  };
  refuses(shaped("[1,1,1]"), "\"shape\" must be [channels, frames, height, width]");
  refuses(shaped("[2,1,1,1]"), "\"shape[0]\" must be 1 or 3");
  refuses(shaped("[1,0,1,1]"), "\"shape[1]\"");
  refuses(shaped("[1,1,1e9,1]"), "\"shape[2]\"");
  refuses(shaped("[3,4096,4096,4096]"), "\"shape\" is too large");
  refuses(mixture("[1]", "[0]", "[1]", ",\"sigmas\":[1]"), "\"sigmas\" is no key of a mixture");
  std::string many = "[1";
  for (int i = 0; i < 256; ++i) many += ",1";
  refuses(mixture((many + "]").c_str(), "[0]", "[1]"), "\"weights\" must be a list of 1 to 256");
  const auto prompted = [&](const std::string& prompts) {
    return mixture("[0.5,0.5]", "[0,1]", "[1,1]", (",\"prompts\":" + prompts).c_str());
  };
  refuses(prompted("[]"), "\"prompts\" must be an object");
  refuses(prompted("{\"a\":3}"), "\"prompts/a\" must be an object with weights, means and stds");
  refuses(prompted("{\"a\":" + mixture("[1]", "[0]", "[1]") + "}"),
          "\"prompts/a/weights\" must have as many components");
  refuses(prompted("{\"\":" + mixture("[0.5,0.5]", "[0,1]", "[1,1]") + "}"), "names the empty prompt");
  refuses(prompted("{\"a\":" + mixture("[0.5,0.5]", "[0,1]", "[1,0]") + "}"), "\"prompts/a/stds[1]\"");
  refuses(prompted("{\"a\":" + mixture("[0.5,0.6]", "[0,1]", "[1,1]") + "}"),
          "\"prompts/a/weights\" must sum to 1");
}

}  // namespace
}  // namespace thalweg
