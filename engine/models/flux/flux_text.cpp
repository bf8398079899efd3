#include "engine/models/flux/flux_text.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "engine/core/error.h"
#include "engine/models/component.h"

namespace thalweg {
namespace {

/// To be raised by whoever changes the numbers that encode() returns: kept ones of before are then not used.
constexpr const char* kEncodeVersion = "flux text 1";

/// CLIPTextModel: the pooled feature is the end token's own.
ClipTextConfig unprojected(ClipTextConfig config) {
  config.projected = false;
  return config;
}

}  // namespace

FluxText::FluxText(const ModelFolder& folder, const ModelOptions& options,
                   const FluxTransformerConfig& transformer)
    : folder_(folder),
      dtype_(options.dtype),
      device_(options.device),
      t5_tokens_(options.max_sequence_length),
      clip_config_(unprojected(parse_component<ClipTextEncoder>(folder, "text_encoder"))),
      t5_config_(parse_component<T5Encoder>(folder, "text_encoder_2")),
      clip_tokenizer_(ClipTokenizer::load(folder.root / "tokenizer")),
      t5_tokenizer_(T5Tokenizer::load(folder.root / "tokenizer_2")) {
  check(transformer);
}

void FluxText::check(const FluxTransformerConfig& transformer) const {
  const auto joint_attention_dim = transformer.joint_attention_dim,
             pooled_dim = transformer.pooled_projection_dim;
  const auto refuse = [&](const char* component, const std::string& message) {
    throw Error((folder_.root / component / "config.json").string(), message);
  };
  if (clip_config_.hidden_size != pooled_dim)
    refuse("text_encoder",
           "hidden_size must be the transformer's pooled_projection_dim, " + std::to_string(pooled_dim));
  if (t5_config_.d_model != joint_attention_dim)
    refuse("text_encoder_2",
           "d_model must be the transformer's joint_attention_dim, " + std::to_string(joint_attention_dim));
  if (clip_tokenizer_.max_length() > clip_config_.max_position_embeddings)
    throw Error((folder_.root / "tokenizer").string(),
                "its model_max_length of " + std::to_string(clip_tokenizer_.max_length()) + " is above the " +
                    std::to_string(clip_config_.max_position_embeddings) + " positions of text_encoder");
  if (t5_config_.own_position_bias) refuse("text_encoder_2", "\"model_type\" is umt5, and FLUX.1 has a t5");
  if (t5_tokens_ < 1)
    refuse("text_encoder_2", "with T5 max_sequence_length must be at least 1, for the end token");
}

std::shared_ptr<const FluxText::Encoders> FluxText::encoders() const {
  const std::lock_guard lock(mutex_);
  if (encoders_) return encoders_;
  const std::string t5 = "text_encoder_2";
  encoders_ = std::make_shared<Encoders>(
      Encoders{bind_component<ClipTextEncoder>(folder_, "text_encoder", clip_config_,
                                               clip_text_weights(component_weights(folder_, "text_encoder")),
                                               dtype_, device_),
               bind_component<T5Encoder>(
                   folder_, t5, t5_config_,
                   t5_encoder_weights(component_weights(folder_, t5), (folder_.root / t5).string()), dtype_,
                   device_)});
  return encoders_;
}

TensorMap FluxText::encode(const std::vector<std::string>& prompts) const {
  const c10::NoGradGuard no_grad;
  const auto loaded = encoders();
  return {
      {"prompt_embeds", t5_features(loaded->t5, token_ids(t5_tokenizer_, prompts, t5_tokens_).to(device_))},
      {"pooled_prompt_embeds", loaded->clip(token_ids(clip_tokenizer_, prompts).to(device_)).pooled_BP}};
}

std::vector<ModelFile> FluxText::files() const {
  std::vector<ModelFile> files;
  for (const std::string suffix : {"", "_2"}) {
    for (auto& file : component_copy(folder_, "text_encoder" + suffix)) files.push_back(std::move(file));
    for (auto& file : tokenizer_copy(folder_, "tokenizer" + suffix)) files.push_back(std::move(file));
  }
  return files;
}

TextSource FluxText::source() const {
  TextSource source;
  for (const auto& file : files()) source.files[file.name.string()] = file.source;
  source.dtype = dtype_;
  source.shapes = {{"prompt_embeds", {t5_tokens_, t5_config_.d_model}},
                   {"pooled_prompt_embeds", {clip_config_.hidden_size}}};
  source.settings = std::string(kEncodeVersion) + ", " + at::toString(dtype_) + ", " +
                    std::to_string(t5_tokens_) + " tokens of T5" + (device_.is_cuda() ? ", on a GPU" : "");
  return source;
}

std::vector<TextCut> FluxText::cuts(const std::string& prompt) const {
  std::vector<TextCut> cuts;
  add_cut(cuts, "text_encoder", prompt, clip_tokenizer_.max_length(),
          [&] { return clip_tokenizer_.whole_length(prompt); });
  add_cut(cuts, "text_encoder_2", prompt, t5_tokens_,
          [&] { return static_cast<int64_t>(t5_tokenizer_.encode_whole(prompt).size()); });
  return cuts;
}

void FluxText::release() {
  const std::lock_guard lock(mutex_);
  encoders_.reset();
}

}  // namespace thalweg
