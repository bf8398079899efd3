#include "rewards/request.h"

#include <cstring>
#include <limits>
#include <numeric>

#include "engine/core/device.h"
#include "engine/core/error.h"

namespace thalweg {
namespace {

void check_count(size_t count, int64_t batch, const std::string& what, const std::string& place) {
  if (count != 0 && count != static_cast<size_t>(batch))
    throw Error(place, std::to_string(count) + " " + what + " for " + std::to_string(batch) + " samples");
}

/// Borrowed C strings; `fallback` for each sample when there are none.
std::vector<const char*> c_strings(const std::vector<std::string>& texts, int64_t batch,
                                   const char* fallback) {
  std::vector<const char*> out(static_cast<size_t>(batch), fallback);
  for (size_t b = 0; b < texts.size(); ++b) out[b] = texts[b].c_str();
  return out;
}

}  // namespace

BorrowedTensor::BorrowedTensor(const at::Tensor& x, at::Device device) {
  set(x, device);
}

void BorrowedTensor::set(const at::Tensor& x, at::Device device) {
  const auto dense = x.detach().to(at::kFloat).contiguous();
  tensor_ = device.is_cpu() ? on_host(dense) : on_device(dense, device);
  shape_ = tensor_.sizes().vec();
  // Our own strides: those of LibTorch are arbitrary for dimensions of size one.
  strides_.assign(shape_.size(), 1);
  for (size_t d = shape_.size(); d-- > 1;) strides_[d - 1] = strides_[d] * shape_[d];
  view_.data = tensor_.data_ptr();
  view_.device = {device.is_cuda() ? THALWEG_DEVICE_TYPE_CUDA : THALWEG_DEVICE_TYPE_CPU,
                  device.is_cuda() ? device.index() : 0};
  view_.ndim = static_cast<int32_t>(tensor_.dim());
  view_.dtype = {THALWEG_DTYPE_FLOAT, 32, 1};
  view_.shape = shape_.data();
  view_.strides = strides_.data();
  view_.byte_offset = 0;
}

void BorrowedTensor::set_copy(const at::Tensor& x, at::Device device) {
  set(x, device);
  if (!tensor_.is_alias_of(x)) return;
  const auto copy = at::empty_like(tensor_, at::MemoryFormat::Contiguous);
  if (device.is_cpu())  // LibTorch's copy wakes other threads for this, and waits for them
    std::memcpy(copy.mutable_data_ptr(), tensor_.const_data_ptr(), copy.nbytes());
  else
    copy.copy_(tensor_);
  set(copy, device);
}

Request::Request(const ScoreInput& input, const thalweg_reward_descriptor& descriptor,
                 const std::string& place, at::Device device)
    : place_(place), batch_(input.batch()) {
  if (batch_ < 1 || batch_ > std::numeric_limits<int32_t>::max())
    throw Error(place_, "there is nothing to score: the batch holds no frames and no latents");
  const auto lend = [&](BorrowedTensor& to, const at::Tensor& x, uint64_t bit, int64_t dims, int64_t colours,
                        const std::string& what) {
    if (((descriptor.required_inputs | descriptor.optional_inputs) & bit) == 0) return;
    if (!x.defined()) {
      if (descriptor.required_inputs & bit)
        throw Error(place_, "this reward needs " + what + ", and the job gives none");
      return;
    }
    const bool fits = x.dim() == dims && x.size(0) == batch_ && x.is_floating_point() && x.numel() > 0;
    if (!fits || (colours > 0 && x.size(2) != colours)) {
      std::string shape;
      for (const int64_t n : x.sizes()) shape += (shape.empty() ? "" : ",") + std::to_string(n);
      throw Error(place_, what + " cannot be scored in the shape [" + shape + "]");
    }
    to.set_copy(x, device);
  };
  lend(frames_, input.frames_BF3HW, THALWEG_INPUT_FRAMES, 5, 3, "frames");
  lend(latents_, input.latents_BCFHW, THALWEG_INPUT_LATENTS, 5, 0, "latents");
  if (latents_.view() != nullptr) lend(sigmas_, input.sigmas_B, THALWEG_INPUT_LATENTS, 1, 0, "sigmas");
  lend(reference_, input.reference_BF3HW, THALWEG_INPUT_REFERENCE, 5, 3, "a reference picture");
  lend(mask_, input.mask_BF1HW, THALWEG_INPUT_MASK, 5, 1, "a mask");
  if ((descriptor.required_inputs & THALWEG_INPUT_PROMPTS) && input.prompts.empty())
    throw Error(place_, "this reward needs prompts, and the job gives none");
  if ((descriptor.required_inputs & THALWEG_INPUT_METADATA) && input.metadata_json.empty())
    throw Error(place_, "this reward needs the prompts' metadata, and the job gives none");
  set_arrays(input);

  raw_.frames = frames_.view();
  raw_.latents = latents_.view();
  raw_.sigmas = sigmas_.view();
  raw_.reference = reference_.view();
  raw_.mask = mask_.view();
  raw_.stream = native_stream(device);
  raw_.size = sizeof(raw_);
  raw_.batch = static_cast<uint32_t>(batch_);
  raw_.step_index = input.step_index;
  raw_.num_steps = input.num_steps;
  raw_.fps = input.fps;
  raw_.phase = static_cast<uint32_t>(input.occasion.phase);
  raw_.iteration = input.occasion.iteration;
}

void Request::set_arrays(const ScoreInput& input) {
  check_count(input.prompts.size(), batch_, "prompts", place_);
  check_count(input.metadata_json.size(), batch_, "metadata objects", place_);
  check_count(input.sample_ids.size(), batch_, "sample ids", place_);
  check_count(input.seeds.size(), batch_, "seeds", place_);
  check_count(input.group_ids.size(), batch_, "group ids", place_);
  const auto B = static_cast<size_t>(batch_);

  prompts_ = c_strings(input.prompts, batch_, "");
  metadata_ = c_strings(input.metadata_json, batch_, "{}");
  sample_ids_ = input.sample_ids;
  if (sample_ids_.empty()) {
    sample_ids_.resize(B);
    std::iota(sample_ids_.begin(), sample_ids_.end(), uint64_t{0});
  }
  seeds_ = input.seeds.empty() ? std::vector<uint64_t>(B, 0) : input.seeds;
  group_ids_ = input.group_ids.empty() ? std::vector<int64_t>(B, -1) : input.group_ids;
  raw_.prompts = prompts_.data();
  raw_.metadata_json = metadata_.data();
  raw_.sample_ids = sample_ids_.data();
  raw_.seeds = seeds_.data();
  raw_.group_ids = group_ids_.data();
}

}  // namespace thalweg
