#include "engine/models/sd3/sd3_text.h"

#include <ATen/ATen.h>

#include <c10/core/GradMode.h>

#include "engine/core/error.h"
#include "engine/models/component.h"

namespace thalweg {
namespace {

/// To be raised by whoever changes the numbers that encode() returns: kept ones of before are then not used.
constexpr const char* kEncodeVersion = "sd3 text 1";

}  // namespace

TensorMap sd3_conditioning(const ClipTextEncoder& first, const at::Tensor& first_ids_BL,
                           const ClipTextEncoder& second, const at::Tensor& second_ids_BL,
                           const at::Tensor& t5_BLD) {
  const auto a = first(first_ids_BL), b = second(second_ids_BL);
  auto embeds_BLD = at::cat({a.penultimate_BLD, b.penultimate_BLD}, -1);
  embeds_BLD = at::constant_pad_nd(embeds_BLD, {0, t5_BLD.size(2) - embeds_BLD.size(2)});
  embeds_BLD = at::cat({embeds_BLD, t5_BLD.expand({embeds_BLD.size(0), -1, -1}).to(embeds_BLD)}, 1);
  return {{"prompt_embeds", embeds_BLD}, {"pooled_prompt_embeds", at::cat({a.pooled_BP, b.pooled_BP}, -1)}};
}

Sd3Text::Sd3Text(const ModelFolder& folder, const ModelOptions& options,
                 const Sd3TransformerConfig& transformer)
    : folder_(folder),
      dtype_(options.dtype),
      device_(options.device),
      t5_tokens_(options.max_sequence_length),
      width_(transformer.joint_attention_dim),
      pooled_width_(transformer.pooled_projection_dim),
      first_config_(parse_component<ClipTextEncoder>(folder, "text_encoder")),
      second_config_(parse_component<ClipTextEncoder>(folder, "text_encoder_2")),
      first_tokenizer_(ClipTokenizer::load(folder.root / "tokenizer")),
      second_tokenizer_(ClipTokenizer::load(folder.root / "tokenizer_2")) {
  if (has_component(folder, "text_encoder_3")) {
    t5_config_ = parse_component<T5Encoder>(folder, "text_encoder_3");
    t5_tokenizer_ = T5Tokenizer::load(folder.root / "tokenizer_3");
  }
  check();
}

void Sd3Text::check() const {
  const auto refuse = [&](const char* component, const std::string& message) {
    throw Error((folder_.root / component / "config.json").string(), message);
  };
  const auto width = std::to_string(width_);
  if (first_config_.hidden_size + second_config_.hidden_size > width_)
    refuse("text_encoder_2",
           "hidden_size of both CLIP text encoders together exceeds the transformer's "
           "joint_attention_dim, " +
               width);
  if (first_config_.projection_dim + second_config_.projection_dim != pooled_width_)
    refuse("text_encoder_2",
           "projection_dim of both CLIP text encoders together differs from the transformer's "
           "pooled_projection_dim, " +
               std::to_string(pooled_width_));
  const auto check_length = [&](const ClipTokenizer& tokenizer, const ClipTextConfig& config,
                                const char* suffix) {
    if (tokenizer.max_length() <= config.max_position_embeddings)
      return;  // each prompt is padded to that length
    throw Error((folder_.root / (std::string("tokenizer") + suffix)).string(),
                "its model_max_length of " + std::to_string(tokenizer.max_length()) + " is above the " +
                    std::to_string(config.max_position_embeddings) + " positions of text_encoder" + suffix);
  };
  check_length(first_tokenizer_, first_config_, "");
  check_length(second_tokenizer_, second_config_, "_2");
  if (first_tokenizer_.max_length() != second_tokenizer_.max_length())
    throw Error(
        (folder_.root / "tokenizer_2" / "tokenizer_config.json").string(),
        "model_max_length must be that of tokenizer, " + std::to_string(first_tokenizer_.max_length()));
  if (!t5_config_) return;
  if (t5_config_->own_position_bias)
    refuse("text_encoder_3", "\"model_type\" is umt5, and a Stable Diffusion 3 has a t5");
  if (t5_config_->d_model != width_)
    refuse("text_encoder_3", "d_model must be the transformer's joint_attention_dim, " + width);
  if (t5_tokens_ < 1)
    refuse("text_encoder_3", "with T5 max_sequence_length must be at least 1, for the end token");
}

std::shared_ptr<const Sd3Text::Encoders> Sd3Text::encoders() const {
  const std::lock_guard lock(mutex_);
  if (encoders_) return encoders_;
  const auto clip = [&](const char* name, const ClipTextConfig& config) {
    return bind_component<ClipTextEncoder>(folder_, name, config, component_weights(folder_, name), dtype_,
                                           device_);
  };
  auto loaded = std::make_shared<Encoders>(
      Encoders{clip("text_encoder", first_config_), clip("text_encoder_2", second_config_), {}});
  if (t5_config_) {
    const std::string name = "text_encoder_3";
    loaded->t5 = bind_component<T5Encoder>(
        folder_, name, *t5_config_,
        t5_encoder_weights(component_weights(folder_, name), (folder_.root / name).string()), dtype_,
        device_);
  }
  encoders_ = std::move(loaded);
  return encoders_;
}

at::Tensor Sd3Text::t5_part(const Encoders& encoders, const std::vector<std::string>& prompts) const {
  if (!encoders.t5) return at::zeros({1, t5_tokens_, width_});
  return t5_features(*encoders.t5, token_ids(*t5_tokenizer_, prompts, t5_tokens_).to(device_));
}

TensorMap Sd3Text::encode(const std::vector<std::string>& prompts) const {
  c10::NoGradGuard no_grad;
  const auto loaded = encoders();
  return sd3_conditioning(loaded->first, token_ids(first_tokenizer_, prompts).to(device_), loaded->second,
                          token_ids(second_tokenizer_, prompts).to(device_), t5_part(*loaded, prompts));
}

std::vector<ModelFile> Sd3Text::files() const {
  std::vector<ModelFile> files;
  for (const std::string suffix : {"", "_2", "_3"}) {
    if (suffix == "_3" && !t5_config_) continue;
    for (auto& file : component_copy(folder_, "text_encoder" + suffix)) files.push_back(std::move(file));
    for (auto& file : tokenizer_copy(folder_, "tokenizer" + suffix)) files.push_back(std::move(file));
  }
  return files;
}

TextSource Sd3Text::source() const {
  TextSource source;
  for (const auto& file : files()) source.files[file.name.string()] = file.source;
  source.dtype = dtype_;
  source.shapes = {{"prompt_embeds", {first_tokenizer_.max_length() + t5_tokens_, width_}},
                   {"pooled_prompt_embeds", {pooled_width_}}};
  source.settings = std::string(kEncodeVersion) + ", " + at::toString(dtype_) + ", " +
                    std::to_string(t5_tokens_) + (t5_config_ ? " tokens of T5" : " zero tokens") +
                    ", width " + std::to_string(width_) + (device_.is_cuda() ? ", on a GPU" : "");
  return source;
}

std::vector<TextCut> Sd3Text::cuts(const std::string& prompt) const {
  std::vector<TextCut> cuts;
  add_cut(cuts, "text_encoder", prompt, first_tokenizer_.max_length(),
          [&] { return first_tokenizer_.whole_length(prompt); });
  add_cut(cuts, "text_encoder_2", prompt, second_tokenizer_.max_length(),
          [&] { return second_tokenizer_.whole_length(prompt); });
  if (t5_tokenizer_)
    add_cut(cuts, "text_encoder_3", prompt, t5_tokens_,
            [&] { return static_cast<int64_t>(t5_tokenizer_->encode_whole(prompt).size()); });
  return cuts;
}

void Sd3Text::release() {
  const std::lock_guard lock(mutex_);
  encoders_.reset();
}

}  // namespace thalweg
