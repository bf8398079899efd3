// Prompts as the text encoders of a pipeline read them.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "engine/models/text/clip_tokenizer.h"
#include "engine/models/text/t5_encoder.h"
#include "engine/models/text/t5_tokenizer.h"
#include "engine/models/text_length.h"

namespace thalweg {

/// Token ids [B, L] of a batch of prompts, each padded.
at::Tensor token_ids(const ClipTokenizer& tokenizer, const std::vector<std::string>& prompts);
at::Tensor token_ids(const T5Tokenizer& tokenizer, const std::vector<std::string>& prompts, int64_t length);

/// T5's features of ids [B, L], a few prompts at a time.
at::Tensor t5_features(const T5Encoder& encoder, const at::Tensor& ids_BL);

/// Adds a row to `cuts` where the prompt has more tokens than the `read` that `encoder` reads; `length`: of
/// the whole prompt, asked only where that can be.
void add_cut(std::vector<TextCut>& cuts, const char* encoder, const std::string& prompt, int64_t read,
             const std::function<int64_t()>& length);

}  // namespace thalweg
