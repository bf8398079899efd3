// Rewards from CLIP-size models: agreement with the prompt, with a goal, aesthetics. See README.md.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "../pictures/picture_reward.h"
#include "engine/core/error.h"
#include "engine/models/text/clip_tokenizer.h"
#include "engine/models/vision/clip_model.h"
#include "engine/models/vision/image_processor.h"
#include "options.h"
#include "scores.h"

namespace {

using pictures::at_pointer;
using thalweg::ClipModel;
using thalweg::ClipTokenizer;
using thalweg::Error;
using thalweg::ImageProcessor;
using thalweg::plugin::Activation;

constexpr const char* kDimensions[] = {"clipscore"};  // of the default configuration

class ClipReward final : public pictures::PictureReward {
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

  /// None with 8-bit rounding, which is flat wherever it is differentiable.
  std::uint64_t gradient_inputs() const override {
    return options_.preprocess == "exact" ? 0 : THALWEG_INPUT_FRAMES;
  }

 protected:
  at::Tensor read(const std::string& prompt) const override { return embedded(prompt); }

  at::Tensor scores_of(const at::Tensor& frame_3HW, const at::Tensor& text_P) const override {
    const auto image_P = thalweg::unit_length(model_->vision(pixels(frame_3HW).unsqueeze(0)))[0];
    std::vector<at::Tensor> values;
    for (const auto& score : scores_) values.push_back(score(image_P, text_P));
    return at::stack(values);
  }

 private:
  void load_processor() {
    processor_ = pictures::load_image_processor(options_.processor, model_->vision.config().image_size);
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

  clip::Options options_;
  std::optional<ClipModel> model_;
  std::optional<ImageProcessor> processor_;
  std::optional<ClipTokenizer> tokenizer_;
  std::vector<clip::Score> scores_;
};

}  // namespace

THALWEG_REWARD_PLUGIN(ClipReward);
