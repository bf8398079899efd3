#include "engine/models/text/prompt_ids.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace thalweg {
namespace {

/// Prompts of one T5 forward: the attention of 8 prompts of 256 tokens takes 128 MB in T5-XXL.
constexpr int64_t kT5Batch = 8;

template <typename Encode>
at::Tensor ids_of(const std::vector<std::string>& prompts, const Encode& encode) {
  std::vector<int64_t> ids;
  for (const auto& prompt : prompts) {
    const auto row = encode(prompt);
    ids.insert(ids.end(), row.begin(), row.end());
  }
  return at::tensor(ids, at::kLong).view({static_cast<int64_t>(prompts.size()), -1});
}

}  // namespace

at::Tensor token_ids(const ClipTokenizer& tokenizer, const std::vector<std::string>& prompts) {
  return ids_of(prompts, [&](const std::string& prompt) { return tokenizer.encode(prompt); });
}

at::Tensor token_ids(const T5Tokenizer& tokenizer, const std::vector<std::string>& prompts, int64_t length) {
  return ids_of(prompts, [&](const std::string& prompt) { return tokenizer.encode(prompt, length); });
}

at::Tensor t5_features(const T5Encoder& encoder, const at::Tensor& ids_BL) {
  std::vector<at::Tensor> parts;
  for (const auto& part_BL : ids_BL.split(kT5Batch)) parts.push_back(encoder(part_BL));
  return at::cat(parts);
}

void add_cut(std::vector<TextCut>& cuts, const char* encoder, const std::string& prompt, int64_t read,
             const std::function<int64_t()>& length) {
  // A token is a byte at least, beside the marks of beginning and end (T5 has a blank before the text).
  // Letters beyond ASCII may become more in normalization.
  const bool ascii =
      std::all_of(prompt.begin(), prompt.end(), [](char c) { return static_cast<signed char>(c) >= 0; });
  if (ascii && static_cast<int64_t>(prompt.size()) + 2 <= read) return;
  if (const int64_t tokens = length(); tokens > read) cuts.push_back({encoder, tokens, read});
}

}  // namespace thalweg
