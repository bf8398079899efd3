#include "engine/models/wan/wan_text.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <map>

#include "engine/core/error.h"
#include "engine/models/component.h"
#include "engine/models/wan/prompt_clean.h"

namespace thalweg {
namespace {

constexpr const char *kEncoder = "text_encoder", *kTokenizer = "tokenizer";

/// To be raised by whoever changes the numbers that encode() returns: kept ones of before are then not used.
constexpr const char* kEncodeVersion = "wan text 1";

}  // namespace

WanText::WanText(const ModelFolder& folder, const ModelOptions& options,
                 const WanTransformerConfig& transformer)
    : folder_(folder),
      dtype_(options.dtype),
      device_(options.device),
      tokens_(options.max_sequence_length),
      config_(parse_component<T5Encoder>(folder, kEncoder)),
      tokenizer_(T5Tokenizer::load(folder.root / kTokenizer)) {
  const auto refuse = [&](const std::string& message) {
    throw Error((folder.root / kEncoder / "config.json").string(), message);
  };
  if (!config_.own_position_bias) refuse("\"model_type\" must be umt5: a Wan reads its prompts with UMT5");
  if (config_.d_model != transformer.text_dim)
    refuse("d_model must be the transformer's text_dim, " + std::to_string(transformer.text_dim));
  if (tokens_ < 1) refuse("max_sequence_length must be at least 1, for the end token");
}

std::shared_ptr<const T5Encoder> WanText::encoder() const {
  const std::lock_guard lock(mutex_);
  if (!encoder_)
    encoder_ = std::make_shared<const T5Encoder>(bind_component<T5Encoder>(
        folder_, kEncoder, config_,
        t5_encoder_weights(component_weights(folder_, kEncoder), (folder_.root / kEncoder).string()), dtype_,
        device_));
  return encoder_;
}

TensorMap WanText::encode(const std::vector<std::string>& prompts) const {
  const c10::NoGradGuard no_grad;
  const auto loaded = encoder();
  struct Group {
    std::vector<std::string> texts;
    std::vector<int64_t> rows;
  };
  std::map<int64_t, Group> groups;  // by their number of tokens
  for (size_t i = 0; i < prompts.size(); ++i) {
    auto text = wan_prompt_clean(prompts[i]);
    const auto whole = static_cast<int64_t>(tokenizer_.encode_whole(text).size());
    auto& group = groups[std::min(whole, tokens_)];
    group.texts.push_back(std::move(text));
    group.rows.push_back(static_cast<int64_t>(i));
  }
  const auto embeds_BLD = at::zeros({static_cast<int64_t>(prompts.size()), tokens_, config_.d_model},
                                    at::TensorOptions().dtype(dtype_).device(device_));
  for (const auto& [length, group] : groups) {
    const auto ids_BL = token_ids(tokenizer_, group.texts, length).to(device_);
    embeds_BLD.slice(1, 0, length)
        .index_copy_(0, at::tensor(group.rows, at::kLong).to(device_), t5_features(*loaded, ids_BL));
  }
  return {{"prompt_embeds", embeds_BLD}};
}

std::vector<ModelFile> WanText::files() const {
  auto files = component_copy(folder_, kEncoder);
  for (auto& file : tokenizer_copy(folder_, kTokenizer)) files.push_back(std::move(file));
  return files;
}

TextSource WanText::source() const {
  TextSource source;
  for (const auto& file : files()) source.files[file.name.string()] = file.source;
  source.dtype = dtype_;
  source.shapes = {{"prompt_embeds", {tokens_, config_.d_model}}};
  source.settings = std::string(kEncodeVersion) + ", " + at::toString(dtype_) + ", " +
                    std::to_string(tokens_) + " tokens of UMT5" + (device_.is_cuda() ? ", on a GPU" : "");
  return source;
}

std::vector<TextCut> WanText::cuts(const std::string& prompt) const {
  std::vector<TextCut> cuts;
  const auto text = wan_prompt_clean(prompt);
  add_cut(cuts, kEncoder, text, tokens_,
          [&] { return static_cast<int64_t>(tokenizer_.encode_whole(text).size()); });
  return cuts;
}

void WanText::release() {
  const std::lock_guard lock(mutex_);
  encoder_.reset();
}

}  // namespace thalweg
