// An exported folder, ready to score: the graph with its weights, and what stands before it.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "description.h"
#include "engine/models/vision/image_processor.h"
#include "program.h"
#include "text.h"

namespace exported {

class Network {
 public:
  /// Throws thalweg::Error with the file and the place in it. `dtype`: "" as exported.
  static Network load(const std::filesystem::path& folder, const std::string& dtype);

  const Description& description() const { return description_; }

  /// The tokens of a prompt; empty where the network reads no text.
  Tokens tokens(const std::string& prompt) const;

  /// Scores [N,K] float32 of pictures [N,3,H,W] or videos [N,F,3,H,W] with values in [0,1], differentiable in
  /// them where the description says so. One Tokens a row. Throws std::invalid_argument for sizes that the
  /// network was not exported for, std::runtime_error for what fails within it.
  at::Tensor scores_NK(const at::Tensor& frames, const std::vector<Tokens>& tokens_N) const;

 private:
  void require_sizes(const at::Tensor& frames) const;
  at::Tensor preprocessed(const at::Tensor& frames) const;

  Description description_;
  Instance instance_;
  std::optional<Program> program_;
  std::optional<thalweg::ImageProcessor> processor_;
  Tokenizer tokenizer_;
};

}  // namespace exported
