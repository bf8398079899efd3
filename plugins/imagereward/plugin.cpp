// How much people would like a picture for its prompt, as ImageReward learned it. See README.md.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "../pictures/picture_reward.h"
#include "engine/core/error.h"
#include "engine/core/fields.h"
#include "engine/core/json.h"
#include "engine/models/text/wordpiece.h"
#include "engine/models/vision/image_processor.h"
#include "model.h"

namespace {

using pictures::at_pointer;
using thalweg::Error;
using thalweg::Fields;
using thalweg::ImageProcessor;
using thalweg::WordPiece;
using thalweg::plugin::Activation;

constexpr int64_t kMostTokens = 35;  // of a prompt, [CLS] and [SEP] among them: what the authors trained with
constexpr const char* kDimensions[] = {"imagereward"};

struct Options {
  std::string model;
  std::string preprocess = "exact";
};

void describe(Fields& f, Options& o) {
  f.text({"model", "folder that convert_imagereward.py writes", true}, o.model);
  f.choice({"preprocess", "exact, or smooth, which has a gradient"}, o.preprocess, {"exact", "smooth"});
}

class ImageReward final : public pictures::PictureReward {
 public:
  static thalweg_reward_descriptor describe() {
    auto d = thalweg::plugin::describe_reward(
        "org.thalweg.imagereward", "ImageReward", "Thalweg", "0.1.0",
        "How much people would like a picture for its prompt. Configuration: {\"model\": folder, "
        "\"preprocess\": \"exact\" | \"smooth\"}: see plugins/imagereward/README.md.");
    d.paper_url = "https://arxiv.org/abs/2304.05977";
    d.required_inputs = THALWEG_INPUT_FRAMES | THALWEG_INPUT_PROMPTS;
    d.num_dimensions = 1;
    d.dimension_names = kDimensions;
    return d;
  }

  void configure(std::string_view config_json, const Activation&) override {
    try {
      thalweg::read_fields(thalweg::parse_json(config_json, ""), "",
                           [&](Fields& f) { ::describe(f, options_); });
    } catch (const Error& e) {
      throw std::invalid_argument(e.what());
    }
    const c10::NoGradGuard no_grad;
    at_pointer("/model", [&] { load(options_.model); });
  }

  std::vector<std::string> dimensions() const override { return {kDimensions[0]}; }

  /// None with 8-bit rounding, which is flat wherever it is differentiable.
  std::uint64_t gradient_inputs() const override {
    return options_.preprocess == "exact" ? 0 : THALWEG_INPUT_FRAMES;
  }

 protected:
  at::Tensor read(const std::string& prompt) const override {
    return at::tensor(tokenizer_->encode(prompt, most_tokens_), at::kLong).unsqueeze(0);
  }

  at::Tensor scores_of(const at::Tensor& frame_3HW, const at::Tensor& ids_1L) const override {
    const auto pixels_3SS =
        options_.preprocess == "exact" ? processor_->exact(frame_3HW) : processor_->smooth(frame_3HW);
    return (*model_)(pixels_3SS.unsqueeze(0), ids_1L).unsqueeze(0);
  }

 private:
  void load(const std::filesystem::path& folder) {
    model_ = imagereward::Model::load(folder);
    auto config = pictures::load_image_processor(folder, model_->vision.config().image_size).config();
    config.crops_to_even = true;  // the authors crop by torchvision
    processor_ = ImageProcessor(config);
    const auto& text = model_->text.config();
    tokenizer_ = WordPiece::load(folder / "vocab.txt");
    if (tokenizer_->vocab_size() > text.vocab_size)
      throw Error((folder / "vocab.txt").string(), "has " + std::to_string(tokenizer_->vocab_size()) +
                                                       " pieces, more than the text encoder's " +
                                                       std::to_string(text.vocab_size));
    most_tokens_ = std::min(kMostTokens, text.max_position_embeddings);
  }

  Options options_;
  std::optional<imagereward::Model> model_;
  std::optional<ImageProcessor> processor_;
  std::optional<WordPiece> tokenizer_;
  int64_t most_tokens_ = kMostTokens;
};

}  // namespace

THALWEG_REWARD_PLUGIN(ImageReward);
