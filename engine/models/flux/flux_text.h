// The prompts' side of FluxPipeline: CLIP's pooled feature and T5's tokens (FluxPipeline.encode_prompt).
#pragma once

#include <memory>
#include <mutex>

#include "engine/models/flow_model.h"
#include "engine/models/flux/transformer.h"
#include "engine/models/text/clip_text_encoder.h"
#include "engine/models/text/prompt_ids.h"
#include "engine/weights/model_copy.h"

namespace thalweg {

/// Tokenizers and configs are read at once, the encoders' weights when the first prompt is encoded.
class FluxText {
 public:
  /// Throws Error naming the file for what is missing, malformed or does not fit together.
  FluxText(const ModelFolder& folder, const ModelOptions& options, const FluxTransformerConfig& transformer);

  /// "prompt_embeds" [B,L,joint_attention_dim], padding attended as in the original, and
  /// "pooled_prompt_embeds" [B,pooled_dim], without gradients.
  TensorMap encode(const std::vector<std::string>& prompts) const;
  TextSource source() const;
  /// Files of the text encoders and tokenizers.
  std::vector<ModelFile> files() const;
  void release();
  /// See LimitedText.
  std::vector<TextCut> cuts(const std::string& prompt) const;

 private:
  struct Encoders {
    ClipTextEncoder clip;
    T5Encoder t5;
  };
  std::shared_ptr<const Encoders> encoders() const;
  void check(const FluxTransformerConfig& transformer) const;

  ModelFolder folder_;
  at::ScalarType dtype_;
  at::Device device_;
  int64_t t5_tokens_;
  ClipTextConfig clip_config_;
  T5EncoderConfig t5_config_;
  ClipTokenizer clip_tokenizer_;
  T5Tokenizer t5_tokenizer_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Encoders> encoders_;
};

}  // namespace thalweg
