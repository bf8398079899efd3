// Process rewards that a train_reward job learned: r(x_t, t, prompt) of noised latents. See README.md.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/fields.h"
#include "engine/core/json.h"
#include "engine/models/process_reward/process_reward.h"
#include "thalweg/cpp/reward.hpp"

namespace {

using thalweg::Conditioning;
using thalweg::Error;
using thalweg::Fields;
using thalweg::plugin::Activation;
using thalweg::plugin::Request;
using thalweg::plugin::View;

constexpr std::size_t kMostPromptsKept = 65536;
constexpr const char* kDimensions[] = {"value"};

class LatentPrm final : public thalweg::plugin::DifferentiableReward {
 public:
  static thalweg_reward_descriptor describe() {
    auto d = thalweg::plugin::describe_reward(
        "org.thalweg.latent_prm", "Latent process reward", "Thalweg", "0.1.0",
        "What a train_reward job learned: the reward to come of noised latents, at any noise level. "
        "Configuration: {\"path\": folder of config.json and model.safetensors, \"model\": folder of its "
        "generator, where that has moved}.");
    d.required_inputs = THALWEG_INPUT_LATENTS | THALWEG_INPUT_PROMPTS;
    d.num_dimensions = 1;
    d.dimension_names = kDimensions;
    return d;
  }

  void configure(std::string_view config_json, const Activation&) override {
    std::string path, model;
    try {
      thalweg::read_fields(thalweg::parse_json(config_json, ""), "", [&](Fields& f) {
        f.text({"path", "folder that a train_reward job wrote", true}, path);
        f.text({"model", "folder of its generator; absent: where its config says"}, model);
      });
    } catch (const Error& e) {
      throw std::invalid_argument(e.what());
    }
    const c10::NoGradGuard no_grad;
    try {
      reward_ = thalweg::load_process_reward(path, model, at::kCPU);
    } catch (const Error& e) {
      throw std::invalid_argument(std::string("/path: ") + e.what());
    }
  }

  std::vector<std::string> dimensions() const override { return {"value"}; }

  void score(const Request& request, View<float, 2> values_BK) override {
    const c10::NoGradGuard no_grad;
    const auto rows = readable(request);
    if (rows.kept.empty()) return;  // stay NaN: not scored
    const auto value_B = reward_.value(rows.x_BCFHW, rows.sigma_B, rows.conditioning).contiguous();
    for (std::size_t i = 0; i < rows.kept.size(); ++i)
      values_BK(rows.kept[i], 0) = value_B.const_data_ptr<float>()[i];
  }

  std::uint64_t gradient_inputs() const override { return THALWEG_INPUT_LATENTS; }

  void vjp(const Request& request, std::uint64_t, View<const float, 2> cotangent_BK,
           View<float, 5> gradient) override {
    if (gradient.shape != request.latents_BCFHW().shape)
      throw std::invalid_argument("the gradient has not the shape of latents");
    const c10::AutoGradMode with_grad(true);
    auto rows = readable(request);
    if (rows.kept.empty()) return;
    const auto x = rows.x_BCFHW.requires_grad_(true);
    std::vector<float> cotangents;
    for (const auto b : rows.kept) cotangents.push_back(cotangent_BK(b, 0));
    const auto total =
        at::dot(reward_.value(x, rows.sigma_B, rows.conditioning), at::tensor(cotangents, at::kFloat));
    const auto slope = torch::autograd::grad({total}, {x})[0].contiguous();
    const auto size = slope.numel() / slope.size(0);
    for (std::size_t i = 0; i < rows.kept.size(); ++i)
      std::copy_n(slope.const_data_ptr<float>() + static_cast<int64_t>(i) * size, size,
                  &gradient(rows.kept[i]));
  }

 private:
  /// Samples that hold numbers and whose prompt can be read, in copies.
  struct Rows {
    std::vector<int64_t> kept;
    at::Tensor x_BCFHW, sigma_B;
    Conditioning conditioning;
  };

  Rows readable(const Request& request) {
    const auto latents = request.latents_BCFHW();
    const auto sigmas = request.sigmas_B();
    if (latents.shape[0] != request.batch() || sigmas.shape[0] != request.batch() || latents.size() == 0)
      throw std::invalid_argument(
          "latents must be [batch, channels, frames, height, width], and sigmas [batch]");
    reward_.structure->features().require(latents.shape[1], latents.shape[2], latents.shape[3],
                                          latents.shape[4]);
    const auto x = at::from_blob(const_cast<float*>(latents.data), latents.shape, at::kFloat);
    const auto sigma = at::from_blob(const_cast<float*>(sigmas.data), {request.batch()}, at::kFloat);
    Rows rows;
    std::vector<Conditioning> parts;
    for (int64_t b = 0; b < request.batch(); ++b) {
      if (!x[b].isfinite().all().item<bool>()) continue;
      const auto prompt = conditioning_of(std::string(request.prompt(b)));
      if (!prompt) continue;
      rows.kept.push_back(b);
      parts.push_back(*prompt);
    }
    if (rows.kept.empty()) return rows;
    const auto index = at::tensor(rows.kept, at::kLong);
    rows.x_BCFHW = x.index_select(0, index);
    rows.sigma_B = sigma.index_select(0, index);
    rows.conditioning = joined(parts);
    return rows;
  }

  static Conditioning joined(const std::vector<Conditioning>& parts) {
    Conditioning all;
    for (const auto& part : parts) all.prompts.push_back(part.prompts[0]);
    for (const auto& [name, tensor] : parts[0].tensors) {
      std::vector<at::Tensor> rows;
      for (const auto& part : parts) rows.push_back(part.tensors.at(name));
      all.tensors[name] = at::cat(rows);
    }
    return all;
  }

  std::optional<Conditioning> conditioning_of(const std::string& prompt) {
    if (const auto known = prompts_.find(prompt); known != prompts_.end()) return known->second;
    if (prompts_.size() >= kMostPromptsKept) prompts_.clear();
    const c10::NoGradGuard no_grad;
    try {
      return prompts_.emplace(prompt, reward_.structure->features().encode({prompt})).first->second;
    } catch (const Error& e) {
      log(THALWEG_LOG_WARNING, std::string("a prompt is not scored: ") + e.what());
      return std::nullopt;
    }
  }

  thalweg::SavedProcessReward reward_;
  std::unordered_map<std::string, Conditioning> prompts_;
};

}  // namespace

THALWEG_REWARD_PLUGIN(LatentPrm);
