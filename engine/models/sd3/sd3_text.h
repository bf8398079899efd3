// The prompts' side of StableDiffusion3Pipeline: two CLIP text encoders and T5, or T5's zero tokens where the
// folder has none, as diffusers keeps them (StableDiffusion3Pipeline.encode_prompt).
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "engine/models/flow_model.h"
#include "engine/models/sd3/transformer.h"
#include "engine/models/text/clip_text_encoder.h"
#include "engine/models/text/prompt_ids.h"
#include "engine/weights/model_copy.h"

namespace thalweg {

/// Token features of both CLIP encoders side by side, zero-padded to T5's width, then T5's tokens t5_BLD (or
/// [1,L,D], the same for all); pooled outputs side by side. Differentiable, for pretraining.
TensorMap sd3_conditioning(const ClipTextEncoder& first, const at::Tensor& first_ids_BL,
                           const ClipTextEncoder& second, const at::Tensor& second_ids_BL,
                           const at::Tensor& t5_BLD);

/// Tokenizers and configs are read at once, the encoders' weights when the first prompt is encoded.
class Sd3Text {
 public:
  /// Throws Error naming the file for what is missing, malformed or does not fit together.
  Sd3Text(const ModelFolder& folder, const ModelOptions& options, const Sd3TransformerConfig& transformer);

  /// "prompt_embeds" and "pooled_prompt_embeds", without gradients.
  TensorMap encode(const std::vector<std::string>& prompts) const;
  TextSource source() const;
  /// Files of the text encoders and tokenizers.
  std::vector<ModelFile> files() const;
  void release();
  /// See LimitedText.
  std::vector<TextCut> cuts(const std::string& prompt) const;

 private:
  struct Encoders {
    ClipTextEncoder first, second;
    std::optional<T5Encoder> t5;
  };
  std::shared_ptr<const Encoders> encoders() const;
  at::Tensor t5_part(const Encoders& encoders, const std::vector<std::string>& prompts) const;
  void check() const;

  ModelFolder folder_;
  at::ScalarType dtype_;
  at::Device device_;
  int64_t t5_tokens_, width_, pooled_width_;
  ClipTextConfig first_config_, second_config_;
  ClipTokenizer first_tokenizer_, second_tokenizer_;
  std::optional<T5EncoderConfig> t5_config_;  // none: zero tokens
  std::optional<T5Tokenizer> t5_tokenizer_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Encoders> encoders_;
};

}  // namespace thalweg
