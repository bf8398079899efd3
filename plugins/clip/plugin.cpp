// Rewards from CLIP-size models: agreement with the prompt, with a goal, aesthetics. See README.md.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/core/error.h"
#include "engine/models/text/clip_tokenizer.h"
#include "engine/models/vision/clip_model.h"
#include "engine/models/vision/image_processor.h"
#include "options.h"
#include "scores.h"
#include "thalweg/cpp/reward.hpp"

namespace {

using thalweg::ClipModel;
using thalweg::ClipTokenizer;
using thalweg::Error;
using thalweg::ImageProcessor;
using thalweg::plugin::Activation;
using thalweg::plugin::Request;
using thalweg::plugin::View;

constexpr std::size_t kMostPromptsKept = 65536;
constexpr const char* kDimensions[] = {"clipscore"};  // of the default configuration

/// What `load` throws, at `pointer` of the configuration.
template <class Load>
auto at_pointer(const char* pointer, Load&& load) {
  try {
    return load();
  } catch (const Error& e) {
    throw std::invalid_argument(std::string(pointer) + ": " + e.what());
  }
}

class ClipReward final : public thalweg::plugin::DifferentiableReward {
 public:
  static thalweg_reward_descriptor describe() {
    auto d = thalweg::plugin::describe_reward(
        "org.thalweg.clip", "CLIP", "Thalweg", "0.1.0",
        "CLIPScore, PickScore, HPSv2, goal-baseline and aesthetic rewards of a CLIPModel in the transformers "
        "layout. "
        "Configuration: {\"model\": folder, \"scores\": [\"clipscore\" | \"pickscore\" | \"hpsv2\" | "
        "\"aesthetic\" | \"goal\" | \"cosine\" | \"logit\"], \"preprocess\": \"exact\" | \"smooth\" | "
        "\"letterbox\", ...}: see plugins/clip/README.md.");
    d.paper_url = "https://arxiv.org/abs/2104.08718";
    d.required_inputs = THALWEG_INPUT_FRAMES | THALWEG_INPUT_PROMPTS;
    d.num_dimensions = 1;
    d.dimension_names = kDimensions;
    return d;
  }

  void configure(std::string_view config_json, const Activation&) override {
    try {
      options_ = clip::read_options(config_json);
    } catch (const Error& e) {
      throw std::invalid_argument(e.what());
    }
    const c10::NoGradGuard no_grad;
    model_ = at_pointer("/model", [&] { return thalweg::load_clip_model(options_.model); });
    const bool own = options_.processor == options_.model;
    at_pointer(own ? "/model" : "/processor", [&] { load_processor(); });
    for (const auto& name : options_.scores) scores_.push_back(make_score(name));
  }

  std::vector<std::string> dimensions() const override { return options_.scores; }

  void score(const Request& request, View<float, 2> values_BK) override {
    const c10::NoGradGuard no_grad;
    const auto frames_BF3HW = checked_frames(request);
    // One picture at a time: a product's last bits depend on how many rows it has, a score must not.
    for (int64_t b = 0; b < request.batch(); ++b) {
      const auto text_P = text_of_scorable(request, b, frames_BF3HW);
      if (!text_P) continue;  // stays NaN: not scored
      auto sum_K = at::zeros({static_cast<int64_t>(scores_.size())}, at::kDouble);
      for (const auto& frame_3HW : frames_BF3HW[b].unbind(0))
        sum_K += scores_of(pixels(frame_3HW), *text_P).to(at::kDouble);
      const auto mean_K = (sum_K / frames_BF3HW.size(1)).to(at::kFloat);
      std::copy_n(mean_K.const_data_ptr<float>(), scores_.size(), &values_BK(b, 0));
    }
  }

  /// None with 8-bit rounding, which is flat wherever it is differentiable.
  std::uint64_t gradient_inputs() const override {
    return options_.preprocess == "exact" ? 0 : THALWEG_INPUT_FRAMES;
  }

  void vjp(const Request& request, std::uint64_t, View<const float, 2> cotangent_BK,
           View<float, 5> gradient) override {
    const auto frames_BF3HW = checked_frames(request);
    if (frames_BF3HW.sizes() != at::ArrayRef<int64_t>(gradient.shape))
      throw std::invalid_argument("the gradient has not the shape of frames");
    const auto frame_count = frames_BF3HW.size(1);
    for (int64_t b = 0; b < request.batch(); ++b) {
      const auto text_P = text_of_scorable(request, b, frames_BF3HW);
      if (!text_P) continue;
      const auto cotangent_K =
          at::tensor(at::ArrayRef<float>(&cotangent_BK(b, 0), scores_.size()), at::kFloat) / frame_count;
      for (int64_t f = 0; f < frame_count; ++f) {
        const c10::AutoGradMode with_grad(true);
        const auto frame_3HW = frames_BF3HW[b][f].detach().clone().requires_grad_(true);
        const auto value = at::dot(scores_of(pixels(frame_3HW), *text_P), cotangent_K);
        const auto slope = torch::autograd::grad({value}, {frame_3HW})[0].contiguous();
        std::copy_n(slope.const_data_ptr<float>(), slope.numel(), &gradient(b, f));
      }
    }
  }

 private:
  void load_processor() {
    processor_ = ImageProcessor::load(options_.processor);
    const auto side = model_->vision.config().image_size;
    if (processor_->side() != side)
      throw Error(options_.processor, "its image processor makes pictures of " +
                                          std::to_string(processor_->side()) +
                                          " pixels a side, the model takes " + std::to_string(side));
    tokenizer_ = ClipTokenizer::load(options_.processor);
    const auto& text = model_->text.config();
    if (tokenizer_->vocab_size() > text.vocab_size)
      throw Error(options_.processor,
                  "its tokenizer has more tokens than the text model's " + std::to_string(text.vocab_size));
    if (tokenizer_->max_length() > text.max_position_embeddings)
      throw Error(options_.processor,
                  "its tokenizer gives up to " + std::to_string(tokenizer_->max_length()) +
                      " tokens, the text model takes " + std::to_string(text.max_position_embeddings) +
                      ": set model_max_length in tokenizer_config.json");
  }

  clip::Score make_score(const std::string& name) const {
    if (name == "cosine" || name == "hpsv2") return clip::cosine();
    if (name == "pickscore") return clip::pickscore(model_->logit_scale);
    if (name == "clipscore") return clip::clipscore();
    if (name == "logit") return clip::logit(model_->logit_scale);
    if (name == "aesthetic")
      return at_pointer("/aesthetic", [&] {
        return clip::aesthetic(options_.aesthetic, model_->vision.config().projection_dim);
      });
    const auto goal_P = at_pointer("/goal/prompt", [&] { return embedded(options_.goal.prompt); });
    const auto baseline_P = at_pointer("/goal/baseline", [&] { return embedded(options_.goal.baseline); });
    if (at::equal(goal_P, baseline_P))
      throw std::invalid_argument("/goal/baseline: means the same to the model as the goal's prompt");
    return clip::goal(goal_P, baseline_P, options_.goal.alpha);
  }

  at::Tensor embedded(const std::string& prompt) const {
    const auto ids_BL = at::tensor(tokenizer_->encode_unpadded(prompt), at::kLong).unsqueeze(0);
    return thalweg::unit_length(model_->text(ids_BL).pooled_BP)[0];
  }

  at::Tensor pixels(const at::Tensor& frame_3HW) const {
    if (options_.preprocess == "letterbox") return processor_->letterboxed(frame_3HW);
    return options_.preprocess == "exact" ? processor_->exact(frame_3HW) : processor_->smooth(frame_3HW);
  }

  at::Tensor scores_of(const at::Tensor& pixels_3SS, const at::Tensor& text_P) const {
    const auto image_P = thalweg::unit_length(model_->vision(pixels_3SS.unsqueeze(0)))[0];
    std::vector<at::Tensor> values;
    for (const auto& score : scores_) values.push_back(score(image_P, text_P));
    return at::stack(values);
  }

  /// The features of the sample's prompt; none where the sample cannot be scored.
  std::optional<at::Tensor> text_of_scorable(const Request& request, int64_t b,
                                             const at::Tensor& frames_BF3HW) {
    if (!frames_BF3HW[b].isfinite().all().item<bool>()) return std::nullopt;
    try {
      return text_of(std::string(request.prompt(b)));
    } catch (const Error& e) {
      log(THALWEG_LOG_WARNING, std::string("a prompt is not scored: ") + e.what());
      return std::nullopt;
    }
  }

  at::Tensor text_of(const std::string& prompt) {
    if (const auto known = texts_.find(prompt); known != texts_.end()) return known->second;
    if (texts_.size() >= kMostPromptsKept) texts_.clear();
    const c10::NoGradGuard no_grad;
    return texts_.emplace(prompt, embedded(prompt)).first->second;
  }

  static at::Tensor checked_frames(const Request& request) {
    const auto frames = request.frames_BF3HW();
    if (frames.shape[0] != request.batch() || frames.shape[2] != 3 || frames.size() == 0)
      throw std::invalid_argument("frames must be [batch, frames, 3, height, width] and hold pixels");
    return at::from_blob(const_cast<float*>(frames.data), frames.shape, at::kFloat);
  }

  clip::Options options_;
  std::optional<ClipModel> model_;
  std::optional<ImageProcessor> processor_;
  std::optional<ClipTokenizer> tokenizer_;
  std::vector<clip::Score> scores_;
  std::unordered_map<std::string, at::Tensor> texts_;
};

}  // namespace

THALWEG_REWARD_PLUGIN(ClipReward);
