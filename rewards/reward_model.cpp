#include "rewards/reward_model.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "rewards/instance.h"
#include "rewards/plugin.h"
#include "rewards/request.h"

namespace thalweg {
namespace {

at::Tensor nan_filled(at::IntArrayRef shape) {
  return at::full(shape, std::numeric_limits<float>::quiet_NaN(), at::TensorOptions(at::kFloat));
}

/// NaN like any other to a plugin. One that is still there after the call was never written.
constexpr int32_t kUnwritten = 0x7fc0bad1;

at::Tensor unwritten(at::IntArrayRef shape) {
  return at::full(shape, kUnwritten, at::TensorOptions(at::kInt)).view(at::kFloat);
}

/// What is wrong with column k of values [B,K], float32 and dense, as the plugin left them.
void find_failures(const at::Tensor& values_BK, int64_t k, const std::string& name,
                   std::vector<RewardModel::Failure>& failures) {
  int64_t absent = 0, nan = 0, infinite = 0;
  const auto values = values_BK.accessor<float, 2>();
  for (int64_t b = 0; b < values.size(0); ++b) {
    const float value = values[b][k];
    int32_t bits = 0;
    std::memcpy(&bits, &value, sizeof(bits));
    if (bits == kUnwritten)
      ++absent;
    else if (std::isnan(value))
      ++nan;
    else if (std::isinf(value))
      ++infinite;
  }
  if (absent > 0) failures.push_back({"left \"" + name + "\" unwritten", absent, k});
  if (nan > 0) failures.push_back({"wrote NaN for \"" + name + "\"", nan, k});
  if (infinite > 0) failures.push_back({"wrote an infinite value for \"" + name + "\"", infinite, k});
}

/// Every sample with an entry that is not finite becomes NaN throughout.
void void_unusable_samples(at::Tensor& gradient) {
  const auto flat = gradient.view({gradient.size(0), -1});
  const auto unusable_B = flat.isfinite().all(1).logical_not();
  if (unusable_B.any().item<bool>())
    flat.masked_fill_(unusable_B.unsqueeze(1), std::numeric_limits<float>::quiet_NaN());
}

}  // namespace

RewardModel::RewardModel(const std::filesystem::path& path, const Json& config, const Activation& activation,
                         const std::string& place, const std::string& id) {
  const std::string where = place.empty() ? path.string() : place;
  PluginLibrary* library = nullptr;
  try {
    library = &PluginLibrary::open(path);
  } catch (const Error& e) {
    throw place.empty() ? e : Error(place, e.what());
  }
  const auto& descriptor = library->descriptor(id, where);
  if ((descriptor.devices & THALWEG_ON_CPU) == 0 && !activation.device.is_cuda())
    throw Error(where, "this reward takes tensors on an NVIDIA GPU only; run the job with --device cuda");
  instance_ = std::make_unique<Instance>(*library, descriptor, config, activation, where);
  if (instance_->gradient != nullptr) {
    const uint64_t inputs = instance_->gradient->inputs(instance_->reward);
    gradient_input_ = inputs & THALWEG_INPUT_FRAMES ? THALWEG_INPUT_FRAMES : inputs & THALWEG_INPUT_LATENTS;
  }
}

RewardModel::~RewardModel() = default;

const std::vector<std::string>& RewardModel::dimension_names() const {
  return instance_->dimensions;
}

std::vector<std::string> RewardModel::required_inputs() const {
  return input_names(instance_->descriptor.required_inputs);
}

std::vector<std::string> RewardModel::optional_inputs() const {
  return input_names(instance_->descriptor.optional_inputs);
}

bool RewardModel::nondeterministic() const {
  for (auto f = instance_->descriptor.features; f != nullptr && *f != nullptr; ++f)
    if (std::strcmp(*f, THALWEG_FEATURE_NONDETERMINISTIC) == 0) return true;
  return false;
}

at::Device RewardModel::inputs_on() const {
  return instance_->inputs_on;
}

bool RewardModel::gradient_is_of_latents() const {
  return gradient_input_ == THALWEG_INPUT_LATENTS;
}

std::string RewardModel::last_error() const {
  const std::lock_guard lock(instance_->mutex);
  return instance_->error;
}

void RewardModel::check_sizes(const ScoreInput& input) const {
  const auto& x = input.frames_BF3HW;
  if (!x.defined() || x.dim() != 5) return;
  const auto& a = instance_->activation;
  const auto beyond = [](int64_t size, int64_t most) { return most > 0 && size > most; };
  if (beyond(x.size(1), a.frames) || beyond(x.size(3), a.height) || beyond(x.size(4), a.width))
    throw Error(instance_->place, "frames are larger than what the reward was made ready for");
}

at::Tensor RewardModel::score(const ScoreInput& input, std::vector<Failure>* failures) {
  const at::NoGradGuard no_grad;
  const std::lock_guard lock(instance_->mutex);
  instance_->error.clear();
  check_sizes(input);
  const int64_t batch = input.batch(), most = instance_->activation.max_batch;
  if (most == 0 || batch <= most) return score_part(input, failures);
  std::vector<at::Tensor> parts;
  for (int64_t b = 0; b < batch; b += most)
    parts.push_back(score_part(input.slice(b, std::min(b + most, batch)), failures));
  return at::cat(parts);
}

at::Tensor RewardModel::score_part(const ScoreInput& part, std::vector<Failure>* failures) {
  Instance& self = *instance_;
  const Request request(part, self.descriptor, self.place, self.inputs_on);
  const auto K = static_cast<int64_t>(self.dimensions.size());
  const BorrowedTensor values_BK(unwritten({part.batch(), K}), self.inputs_on);
  if (!self.succeeds([&] { return self.reward->score(self.reward, request.raw(), values_BK.view()); })) {
    if (failures != nullptr) failures->push_back({self.error, part.batch(), -1});
    return nan_filled({part.batch(), K});
  }
  const auto values = on_host(values_BK.tensor());
  for (int64_t k = 0; k < K && failures != nullptr; ++k)
    find_failures(values, k, self.dimensions[static_cast<size_t>(k)], *failures);
  return values.masked_fill(values.isfinite().logical_not(), std::numeric_limits<float>::quiet_NaN());
}

at::Tensor RewardModel::gradient(const ScoreInput& input, const at::Tensor& cotangent_BK) {
  const at::NoGradGuard no_grad;
  const std::lock_guard lock(instance_->mutex);
  instance_->error.clear();
  if (!has_gradient()) throw Error(instance_->place, "this reward has no gradient");
  check_sizes(input);
  const int64_t batch = input.batch(), most = instance_->activation.max_batch;
  if (cotangent_BK.dim() != 2 || cotangent_BK.size(0) != batch ||
      cotangent_BK.size(1) != static_cast<int64_t>(instance_->dimensions.size()))
    throw Error(instance_->place, "the cotangent must be [batch, dimensions]");
  if (most == 0 || batch <= most) return gradient_part(input, cotangent_BK);
  std::vector<at::Tensor> parts;
  for (int64_t b = 0; b < batch; b += most) {
    const int64_t end = std::min(b + most, batch);
    parts.push_back(gradient_part(input.slice(b, end), cotangent_BK.narrow(0, b, end - b)));
  }
  return at::cat(parts);
}

at::Tensor RewardModel::gradient_part(const ScoreInput& part, const at::Tensor& cotangent_BK) {
  Instance& self = *instance_;
  const Request request(part, self.descriptor, self.place, self.inputs_on);
  const auto& x = gradient_is_of_latents() ? part.latents_BCFHW : part.frames_BF3HW;
  if (!x.defined())
    throw Error(self.place, "this reward's gradient is of an input that the job does not give");
  const BorrowedTensor cotangent(cotangent_BK, self.inputs_on);
  const BorrowedTensor out(nan_filled(x.sizes()), self.inputs_on);
  const bool done = self.succeeds([&] {
    return self.gradient->vjp(self.reward, request.raw(), gradient_input_, cotangent.view(), out.view());
  });
  auto gradient = done ? on_host(out.tensor()) : nan_filled(x.sizes());
  if (done) {
    void_unusable_samples(gradient);
    // Linear in the cotangent, so 0 there is 0 here, even for a sample that cannot be scored.
    const auto zero_B = on_host(cotangent.tensor().eq(0).all(1));
    gradient.view({gradient.size(0), -1}).masked_fill_(zero_B.unsqueeze(1), 0.0);
  }
  return gradient;
}

}  // namespace thalweg
