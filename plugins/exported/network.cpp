#include "network.h"

#include <ATen/ATen.h>

#include <stdexcept>

#include "engine/core/dtypes.h"
#include "engine/core/error.h"
#include "engine/weights/safetensors.h"

namespace exported {
namespace {

using thalweg::Error;

at::Tensor rows(const std::vector<Tokens>& tokens_N, std::vector<int64_t> Tokens::*part) {
  std::vector<at::Tensor> all;
  for (const auto& tokens : tokens_N) all.push_back(at::tensor(tokens.*part, at::kLong));
  return at::stack(all);
}

}  // namespace

Network Network::load(const std::filesystem::path& folder, const std::string& dtype) {
  Network network;
  auto& d = network.description_;
  d = read_description(folder);
  network.instance_.exported = thalweg::dtype_named(d.dtype);
  network.instance_.dtype = thalweg::dtype_named(dtype.empty() ? d.dtype : dtype);
  const auto weights = folder / "weights.safetensors";
  auto tensors = thalweg::read_safetensors(weights).tensors;
  thalweg::require_finite(tensors, weights.string());
  network.program_ =
      Program::bind(folder / "graph.json", {tensors.begin(), tensors.end()}, network.instance_);
  std::vector<std::string> names;
  for (const auto& input : d.inputs) names.push_back(input.name);
  if (names != network.program_->inputs())
    throw Error((folder / "graph.json").string() + "#/inputs", "are not those of reward.json, in its order");
  if (d.has_tokenizer) network.tokenizer_ = load_tokenizer(folder, d.tokenizer);
  if (d.preprocess != "graph") network.processor_ = thalweg::ImageProcessor::load(folder / "processor");
  return network;
}

Tokens Network::tokens(const std::string& prompt) const {
  return tokenizer_ ? tokenizer_(prompt) : Tokens{};
}

void Network::require_sizes(const at::Tensor& frames) const {
  const auto& d = description_;
  const auto height = frames.size(-2), width = frames.size(-1);
  if (!d.height.holds(height) || !d.width.holds(width))
    throw std::invalid_argument("pictures of " + std::to_string(height) + " x " + std::to_string(width) +
                                ": this reward was exported for heights " + d.height.text() + " and widths " +
                                d.width.text());
}

at::Tensor Network::preprocessed(const at::Tensor& frames) const {
  if (!processor_) return frames;
  std::vector<at::Tensor> pictures;
  auto sizes = frames.sizes().vec();
  for (const auto& frame_3HW : frames.flatten(0, -4).unbind(0))
    pictures.push_back(description_.preprocess == "exact" ? processor_->exact(frame_3HW)
                                                          : processor_->smooth(frame_3HW));
  sizes[sizes.size() - 2] = sizes[sizes.size() - 1] = processor_->side();
  return at::stack(pictures).view(sizes);
}

at::Tensor Network::scores_NK(const at::Tensor& frames, const std::vector<Tokens>& tokens_N) const {
  require_sizes(frames);
  std::vector<at::Tensor> inputs;
  for (const auto& input : description_.inputs) {
    const auto tensor = input.kind == "tokens"       ? rows(tokens_N, &Tokens::ids)
                        : input.kind == "token_mask" ? rows(tokens_N, &Tokens::mask)
                                                     : preprocessed(frames).to(instance_.dtype);
    inputs.push_back(tensor.to(instance_.device));
  }
  const auto scores = program_->run(inputs);
  const auto K = static_cast<int64_t>(description_.dimensions.size());
  if (scores.dim() != 2 || scores.size(0) != frames.size(0) || scores.size(1) != K ||
      !scores.is_floating_point())
    throw std::runtime_error("the graph does not give [" + std::to_string(frames.size(0)) + ", " +
                             std::to_string(K) + "] numbers, as reward.json says");
  return scores.to(at::kCPU, at::kFloat);
}

}  // namespace exported
