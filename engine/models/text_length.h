// Which prompts are longer than what a model's text encoders read of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace thalweg {

/// Of a prompt's `tokens` (those that mark its beginning and end among them) the encoder reads `read`.
struct TextCut {
  std::string encoder;  // the component's name, "text_encoder"
  int64_t tokens = 0, read = 0;
};

/// What a FlowModel whose encoders read a fixed number of tokens is besides.
class LimitedText {
 public:
  virtual ~LimitedText() = default;
  /// One row an encoder that does not read the whole prompt. Asks tokenizers alone. Throws Error for text
  /// that is not UTF-8.
  virtual std::vector<TextCut> cuts(const std::string& prompt) const = 0;
};

}  // namespace thalweg
