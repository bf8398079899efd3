// A PyTorch network as a reward: its exported graph, run with gradients. See README.md.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/core/error.h"
#include "network.h"
#include "options.h"
#include "thalweg/cpp/reward.hpp"

namespace {

using exported::Network;
using exported::Tokens;
using thalweg::Error;
using thalweg::plugin::Activation;
using thalweg::plugin::Request;
using thalweg::plugin::View;

constexpr std::size_t kMostPromptsKept = 65536;

/// A row of the network: a frame of a sample, or all of a video (frame -1).
struct Row {
  int64_t sample, frame;
};

class ExportedReward final : public thalweg::plugin::DifferentiableReward {
 public:
  static thalweg_reward_descriptor describe() {
    auto d = thalweg::plugin::describe_reward(
        "org.thalweg.exported", "Exported network", "Thalweg", "0.1.0",
        "A PyTorch network that export_reward.py wrote: torch.export's graph with its weights, run with "
        "gradients. Configuration: {\"path\": folder, \"batch\": rows of one call, \"dtype\": \"float32\" | "
        "\"float16\" | \"bfloat16\"}: see plugins/exported/README.md.");
    d.required_inputs = THALWEG_INPUT_FRAMES | THALWEG_INPUT_PROMPTS;
    return d;
  }

  void configure(std::string_view config_json, const Activation& activation) override {
    try {
      options_ = exported::read_options(config_json);
    } catch (const Error& e) {
      throw std::invalid_argument(e.what());
    }
    const c10::NoGradGuard no_grad;
    try {
      network_ = Network::load(options_.path, options_.dtype);
    } catch (const Error& e) {
      throw std::invalid_argument(std::string("/path: ") + e.what());
    }
    const auto& d = network_->description();
    const auto largest = [](const char* what, uint32_t size, const exported::Extent& extent) {
      if (size > extent.max)
        throw std::invalid_argument("/path: pictures come with a " + std::string(what) + " of " +
                                    std::to_string(size) + ", and the network was exported for " +
                                    extent.text());
    };
    largest("height", activation.max_height, d.height);
    largest("width", activation.max_width, d.width);
    warn_of_later_torch(d.torch);
  }

  std::vector<std::string> dimensions() const override {
    std::vector<std::string> names;
    for (const auto& dimension : network_->description().dimensions) names.push_back(dimension.name);
    return names;
  }

  void score(const Request& request, View<float, 2> values_BK) override {
    const c10::NoGradGuard no_grad;
    const auto frames_BF3HW = checked_frames(request);
    const auto K = values_BK.shape[1];
    auto sums_BK = at::zeros({request.batch(), K}, at::kDouble);
    const auto texts = texts_of_scorable(
        request, frames_BF3HW, [&](int64_t b, const std::string& reason) { not_scored(b, reason); });
    for_rows(frames_BF3HW, texts,
             [&](const std::vector<Row>& rows, const at::Tensor& frames, const std::vector<Tokens>& tokens) {
               const auto values_NK = network_->scores_NK(frames, tokens).to(at::kDouble);
               for (size_t i = 0; i < rows.size(); ++i)
                 sums_BK[rows[i].sample] += values_NK[static_cast<int64_t>(i)];
             });
    const auto mean_BK =
        (sums_BK / static_cast<double>(rows_of_sample(frames_BF3HW))).to(at::kFloat).contiguous();
    for (int64_t b = 0; b < request.batch(); ++b)
      if (texts[static_cast<size_t>(b)]) {
        std::copy_n(&mean_BK.const_data_ptr<float>()[b * K], K, &values_BK(b, 0));
        if (!mean_BK[b].isfinite().all().item<bool>()) not_scored(b, "the network gave NaN or infinity");
      }
    note_range(values_BK);
  }

  std::uint64_t gradient_inputs() const override {
    return network_->description().differentiable ? THALWEG_INPUT_FRAMES : 0;
  }

  void vjp(const Request& request, std::uint64_t, View<const float, 2> cotangent_BK,
           View<float, 5> gradient) override {
    const auto frames_BF3HW = checked_frames(request);
    if (frames_BF3HW.sizes() != at::ArrayRef<int64_t>(gradient.shape))
      throw std::invalid_argument("the gradient has not the shape of frames");
    const auto K = cotangent_BK.shape[1];
    const auto share = 1.0F / static_cast<float>(rows_of_sample(frames_BF3HW));
    // Why a sample is left out was said when it was to be scored.
    for_rows(frames_BF3HW, texts_of_scorable(request, frames_BF3HW, [](int64_t, const std::string&) {}),
             [&](const std::vector<Row>& rows, const at::Tensor& frames, const std::vector<Tokens>& tokens) {
               const c10::AutoGradMode with_grad(true);
               const auto x = frames.detach().requires_grad_(true);
               const auto values_NK = network_->scores_NK(x, tokens);
               auto cotangent_NK = at::empty({static_cast<int64_t>(rows.size()), K}, at::kFloat);
               for (size_t i = 0; i < rows.size(); ++i)
                 std::copy_n(&cotangent_BK(rows[i].sample, 0), K,
                             cotangent_NK.mutable_data_ptr<float>() + static_cast<int64_t>(i) * K);
               const auto slope = slope_of(values_NK, x, cotangent_NK * share);
               for (size_t i = 0; i < rows.size(); ++i) {
                 const auto& [b, f] = rows[i];
                 const auto row = slope[static_cast<int64_t>(i)];
                 std::copy_n(row.const_data_ptr<float>(), row.numel(),
                             f < 0 ? &gradient(b) : &gradient(b, f));
               }
             });
  }

 private:
  void warn_of_later_torch(const std::string& version) const {
    int major = 0, minor = 0;
    if (std::sscanf(version.c_str(), "%d.%d", &major, &minor) != 2) return;
    if (std::pair(major, minor) > std::pair(TORCH_VERSION_MAJOR, TORCH_VERSION_MINOR))
      log(THALWEG_LOG_WARNING, "the network was exported by torch " + version +
                                   ", which is newer than the LibTorch " +
                                   std::to_string(TORCH_VERSION_MAJOR) + "." +
                                   std::to_string(TORCH_VERSION_MINOR) + " that runs it here");
  }

  /// d sum(values cotangent) / d x; 0 where the values do not depend on x.
  static at::Tensor slope_of(const at::Tensor& values, const at::Tensor& x, const at::Tensor& cotangent) {
    if (!values.requires_grad()) return at::zeros_like(x);
    const auto slope = torch::autograd::grad({values}, {x}, {cotangent}, std::nullopt, false, true)[0];
    return slope.defined() ? slope.contiguous() : at::zeros_like(x);
  }

  int64_t rows_of_sample(const at::Tensor& frames_BF3HW) const {
    return network_->description().takes_videos() ? 1 : frames_BF3HW.size(1);
  }

  /// body(rows, frames, tokens) over all rows of samples that have a text, as many at once as is allowed.
  template <class Body>
  void for_rows(const at::Tensor& frames_BF3HW, const std::vector<std::optional<Tokens>>& texts,
                Body&& body) const {
    const bool videos = network_->description().takes_videos();
    std::vector<Row> rows;
    for (int64_t b = 0; b < frames_BF3HW.size(0); ++b)
      for (int64_t f = 0; texts[static_cast<size_t>(b)] && f < rows_of_sample(frames_BF3HW); ++f)
        rows.push_back({b, videos ? -1 : f});
    const auto most = static_cast<size_t>(std::min(options_.batch, network_->description().max_batch));
    for (size_t begin = 0; begin < rows.size(); begin += most) {
      const std::vector<Row> part(
          rows.begin() + static_cast<std::ptrdiff_t>(begin),
          rows.begin() + static_cast<std::ptrdiff_t>(std::min(begin + most, rows.size())));
      std::vector<at::Tensor> frames;
      std::vector<Tokens> tokens;
      for (const auto& [b, f] : part) {
        frames.push_back(f < 0 ? frames_BF3HW[b] : frames_BF3HW[b][f]);
        tokens.push_back(*texts[static_cast<size_t>(b)]);
      }
      body(part, at::stack(frames), tokens);
    }
  }

  /// The tokens of each sample's prompt; none where the sample cannot be scored: left_out(b, reason).
  template <class LeftOut>
  std::vector<std::optional<Tokens>> texts_of_scorable(const Request& request, const at::Tensor& frames_BF3HW,
                                                       LeftOut&& left_out) {
    std::vector<std::optional<Tokens>> texts(static_cast<size_t>(request.batch()));
    for (int64_t b = 0; b < request.batch(); ++b) {
      if (!frames_BF3HW[b].isfinite().all().item<bool>()) {
        left_out(b, "its frames hold NaN or infinity");
        continue;
      }
      try {
        texts[static_cast<size_t>(b)] = text_of(std::string(request.prompt(b)));
      } catch (const Error& e) {
        left_out(b, std::string("its prompt: ") + e.what());
      }
    }
    return texts;
  }

  const Tokens& text_of(const std::string& prompt) {
    if (const auto known = texts_.find(prompt); known != texts_.end()) return known->second;
    if (texts_.size() >= kMostPromptsKept) texts_.clear();
    return texts_.emplace(prompt, network_->tokens(prompt)).first->second;
  }

  void note_range(const View<float, 2>& values_BK) const {
    const auto& dimensions = network_->description().dimensions;
    for (int64_t b = 0; b < values_BK.shape[0]; ++b)
      for (size_t k = 0; k < dimensions.size(); ++k)
        if (const auto value = values_BK(b, k); value < dimensions[k].low || value > dimensions[k].high)
          log(THALWEG_LOG_WARNING,
              dimensions[k].name + ": a score is outside of the range that reward.json states");
  }

  at::Tensor checked_frames(const Request& request) const {
    const auto frames = request.frames_BF3HW();
    if (frames.shape[0] != request.batch() || frames.shape[2] != 3 || frames.size() == 0)
      throw std::invalid_argument("frames must be [batch, frames, 3, height, width] and hold pixels");
    const auto& allowed = network_->description().frames;
    if (!allowed.holds(frames.shape[1]))
      throw std::invalid_argument("videos of " + std::to_string(frames.shape[1]) +
                                  " frames: this reward was exported for " + allowed.text());
    return at::from_blob(const_cast<float*>(frames.data), frames.shape, at::kFloat);
  }

  exported::Options options_;
  std::optional<Network> network_;
  std::unordered_map<std::string, Tokens> texts_;
};

}  // namespace

THALWEG_REWARD_PLUGIN(ExportedReward);
