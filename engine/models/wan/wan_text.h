// The prompts' side of WanPipeline: UMT5's tokens (WanPipeline.encode_prompt).
#pragma once

#include <memory>
#include <mutex>

#include "engine/models/flow_model.h"
#include "engine/models/text/prompt_ids.h"
#include "engine/models/wan/transformer.h"
#include "engine/weights/model_copy.h"

namespace thalweg {

/// Tokenizer and config are read at once, the encoder's weights when the first prompt is encoded.
class WanText {
 public:
  /// Throws Error naming the file for what is missing, malformed or does not fit together.
  WanText(const ModelFolder& folder, const ModelOptions& options, const WanTransformerConfig& transformer);

  /// "prompt_embeds" [B,L,text_dim] of L = max_sequence_length tokens, zeros behind a prompt's end, without
  /// gradients. A prompt is read at its own length: padding is masked in the original, which is the same.
  TensorMap encode(const std::vector<std::string>& prompts) const;
  TextSource source() const;
  /// Files of the text encoder and the tokenizer.
  std::vector<ModelFile> files() const;
  void release();
  /// See LimitedText.
  std::vector<TextCut> cuts(const std::string& prompt) const;

 private:
  std::shared_ptr<const T5Encoder> encoder() const;

  ModelFolder folder_;
  at::ScalarType dtype_;
  at::Device device_;
  int64_t tokens_;
  T5EncoderConfig config_;
  T5Tokenizer tokenizer_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const T5Encoder> encoder_;
};

}  // namespace thalweg
