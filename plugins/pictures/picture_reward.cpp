#include "picture_reward.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

namespace pictures {
namespace {

using thalweg::Error;
using thalweg::plugin::Request;
using thalweg::plugin::View;

constexpr std::size_t kMostPromptsKept = 65536;

at::Tensor checked_frames(const Request& request) {
  const auto frames = request.frames_BF3HW();
  if (frames.shape[0] != request.batch() || frames.shape[2] != 3 || frames.size() == 0)
    throw std::invalid_argument("frames must be [batch, frames, 3, height, width] and hold pixels");
  return at::from_blob(const_cast<float*>(frames.data), frames.shape, at::kFloat);
}

}  // namespace

thalweg::ImageProcessor load_image_processor(const std::filesystem::path& folder, int64_t side) {
  auto processor = thalweg::ImageProcessor::load(folder);
  if (processor.side() != side)
    throw Error(folder.string(), "its image processor makes pictures of " + std::to_string(processor.side()) +
                                     " pixels a side, the model takes " + std::to_string(side));
  return processor;
}

void PictureReward::score(const Request& request, View<float, 2> values_BK) {
  const c10::NoGradGuard no_grad;
  const auto frames_BF3HW = checked_frames(request);
  const auto columns = values_BK.shape[1];
  // One picture at a time: a product's last bits depend on how many rows it has, a score must not.
  for (int64_t b = 0; b < request.batch(); ++b) {
    const auto prompt = prompt_of_scorable(request, b, frames_BF3HW);
    if (!prompt) continue;  // stays NaN: not scored
    auto sum_K = at::zeros({columns}, at::kDouble);
    for (const auto& frame_3HW : frames_BF3HW[b].unbind(0))
      sum_K += scores_of(frame_3HW, *prompt).to(at::kDouble);
    const auto mean_K = (sum_K / frames_BF3HW.size(1)).to(at::kFloat);
    std::copy_n(mean_K.const_data_ptr<float>(), columns, &values_BK(b, 0));
  }
}

void PictureReward::vjp(const Request& request, std::uint64_t, View<const float, 2> cotangent_BK,
                        View<float, 5> gradient) {
  const auto frames_BF3HW = checked_frames(request);
  if (frames_BF3HW.sizes() != at::ArrayRef<int64_t>(gradient.shape))
    throw std::invalid_argument("the gradient has not the shape of frames");
  const auto frame_count = frames_BF3HW.size(1);
  const auto columns = static_cast<std::size_t>(cotangent_BK.shape[1]);
  for (int64_t b = 0; b < request.batch(); ++b) {
    const auto prompt = prompt_of_scorable(request, b, frames_BF3HW);
    if (!prompt) continue;
    const auto cotangent_K =
        at::tensor(at::ArrayRef<float>(&cotangent_BK(b, 0), columns), at::kFloat) / frame_count;
    for (int64_t f = 0; f < frame_count; ++f) {
      const c10::AutoGradMode with_grad(true);
      const auto frame_3HW = frames_BF3HW[b][f].detach().clone().requires_grad_(true);
      const auto value = at::dot(scores_of(frame_3HW, *prompt), cotangent_K);
      const auto slope = torch::autograd::grad({value}, {frame_3HW})[0].contiguous();
      std::copy_n(slope.const_data_ptr<float>(), slope.numel(), &gradient(b, f));
    }
  }
}

/// None where the sample cannot be scored.
std::optional<at::Tensor> PictureReward::prompt_of_scorable(const Request& request, int64_t b,
                                                            const at::Tensor& frames_BF3HW) {
  if (!frames_BF3HW[b].isfinite().all().item<bool>()) return std::nullopt;
  const std::string prompt(request.prompt(b));
  if (const auto known = prompts_.find(prompt); known != prompts_.end()) return known->second;
  if (prompts_.size() >= kMostPromptsKept) prompts_.clear();
  try {
    const c10::NoGradGuard no_grad;
    return prompts_.emplace(prompt, read(prompt)).first->second;
  } catch (const Error& e) {
    log(THALWEG_LOG_WARNING, std::string("a prompt is not scored: ") + e.what());
    return std::nullopt;
  }
}

}  // namespace pictures
