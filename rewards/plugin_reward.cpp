#include "rewards/plugin_reward.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "rewards/instance.h"
#include "rewards/request.h"
#include "rewards/stray_output.h"

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
                   std::vector<CallFailure>& failures) {
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

/// Every sample with an entry that is not finite becomes NaN throughout, one whose cotangents are all 0
/// becomes 0: the gradient is linear in them, even for a sample that cannot be scored. Returns the number of
/// the former.
int64_t void_unusable_samples(at::Tensor& gradient, const at::Tensor& zero_B) {
  const auto flat = gradient.view({gradient.size(0), -1});
  const auto unusable_B = flat.isfinite().all(1).logical_or(zero_B).logical_not();
  const auto unusable = unusable_B.sum().item<int64_t>();
  if (unusable > 0) flat.masked_fill_(unusable_B.unsqueeze(1), std::numeric_limits<float>::quiet_NaN());
  flat.masked_fill_(zero_B.unsqueeze(1), 0.0);
  return unusable;
}

RewardInputs inputs_of(uint64_t bits) {
  const auto has = [&](uint64_t bit) { return (bits & bit) != 0; };
  return {.frames = has(THALWEG_INPUT_FRAMES),
          .latents = has(THALWEG_INPUT_LATENTS),
          .prompts = has(THALWEG_INPUT_PROMPTS),
          .reference = has(THALWEG_INPUT_REFERENCE),
          .mask = has(THALWEG_INPUT_MASK),
          .metadata = has(THALWEG_INPUT_METADATA)};
}

RewardInfo info_of(const std::filesystem::path& path, const thalweg_reward_descriptor& descriptor) {
  RewardInfo info;
  info.name = path.stem().string();
  info.dimensions_K.assign(descriptor.dimension_names,
                           descriptor.dimension_names + descriptor.num_dimensions);
  info.required = inputs_of(descriptor.required_inputs);
  info.optional = inputs_of(descriptor.optional_inputs);
  for (auto f = descriptor.features; f != nullptr && *f != nullptr; ++f)
    if (std::strcmp(*f, THALWEG_FEATURE_NONDETERMINISTIC) == 0) info.deterministic = false;
  return info;
}

PluginLibrary& opened(const std::filesystem::path& path, const std::string& place) {
  try {
    return PluginLibrary::open(path);
  } catch (const Error& e) {
    throw place.empty() ? e : Error(place, e.what());
  }
}

}  // namespace

PluginReward::PluginReward(const std::filesystem::path& path, const Json& config,
                           const Activation& activation, const std::string& place, const std::string& id)
    : activation_(activation) {
  const std::string where = place.empty() ? path.string() : place;
  auto& library = opened(path, place);
  const auto& descriptor = library.descriptor(id, where);
  if ((descriptor.devices & THALWEG_ON_CPU) == 0 && !activation.device.is_cuda())
    throw Error(where, "this reward takes tensors on an NVIDIA GPU only; run the job with --device cuda");
  info_ = info_of(path, descriptor);
  if (descriptor.devices & THALWEG_ON_CUDA) info_.inputs_on = activation.device;
  instance_ = std::make_unique<PluginInstance>(library, descriptor, where, activation.log);
  instance_->activate(config, activation, info_.inputs_on);
  info_.dimensions_K = instance_->read_dimensions();
  gradient_ = instance_->gradient();
  if (gradient_ == nullptr) return;
  const auto inputs = inputs_of(instance_->gradient_inputs(*gradient_));
  info_.gradient_of = inputs.frames    ? GradientOf::frames
                      : inputs.latents ? GradientOf::latents
                                       : GradientOf::none;
}

PluginReward::~PluginReward() = default;

void PluginReward::check_sizes(const ScoreInput& input) const {
  const auto& x = input.frames_BF3HW;
  if (!x.defined() || x.dim() != 5) return;
  const auto beyond = [](int64_t size, int64_t most) { return most > 0 && size > most; };
  if (beyond(x.size(1), activation_.frames) || beyond(x.size(3), activation_.height) ||
      beyond(x.size(4), activation_.width))
    throw Error(instance_->place(), "frames are larger than what the reward was made ready for");
}

template <class Part>
at::Tensor PluginReward::in_parts(int64_t batch, Part&& part) const {
  const int64_t most = activation_.max_batch;
  if (most == 0 || batch <= most) return part(0, batch);
  std::vector<at::Tensor> parts;
  for (int64_t b = 0; b < batch; b += most) parts.push_back(part(b, std::min(b + most, batch)));
  return at::cat(parts);
}

Scored PluginReward::score(const ScoreInput& input) {
  const at::NoGradGuard no_grad;
  StrayOutputWatch watch;  // before the lock, so that no two threads hold one each
  const std::lock_guard lock(mutex_);
  check_sizes(input);
  const int64_t batch = input.batch();
  Scored scored;
  scored.values_BK = in_parts(batch, [&](int64_t begin, int64_t end) {
    return score_part(end - begin == batch ? input : input.slice(begin, end), scored.failures);
  });
  if (watch.printed()) scored.failures.push_back({"printed to standard output"});
  return scored;
}

at::Tensor PluginReward::score_part(const ScoreInput& part, std::vector<CallFailure>& failures) {
  const Request request(part, instance_->descriptor(), instance_->place(), info_.inputs_on);
  const auto K = static_cast<int64_t>(info_.dimensions_K.size());
  const BorrowedTensor values_BK(unwritten({part.batch(), K}), info_.inputs_on);
  const auto* table = instance_->table();
  const auto wrong =
      instance_->failure_of([&] { return table->score(table, request.raw(), values_BK.view()); });
  if (!wrong.empty()) {
    failures.push_back({wrong, part.batch()});
    return nan_filled({part.batch(), K});
  }
  const auto values = on_host(values_BK.tensor());
  for (int64_t k = 0; k < K; ++k)
    find_failures(values, k, info_.dimensions_K[static_cast<size_t>(k)], failures);
  return values.masked_fill(values.isfinite().logical_not(), std::numeric_limits<float>::quiet_NaN());
}

ScoreGradient PluginReward::gradient(const ScoreInput& input, const at::Tensor& cotangent_BK) {
  const at::NoGradGuard no_grad;
  StrayOutputWatch watch;  // before the lock, so that no two threads hold one each
  const std::lock_guard lock(mutex_);
  if (info_.gradient_of == GradientOf::none) throw Error(instance_->place(), "this reward has no gradient");
  check_sizes(input);
  const int64_t batch = input.batch();
  if (cotangent_BK.dim() != 2 || cotangent_BK.size(0) != batch ||
      cotangent_BK.size(1) != static_cast<int64_t>(info_.dimensions_K.size()))
    throw Error(instance_->place(), "the cotangent must be [batch, dimensions]");
  ScoreGradient result;
  result.gradient = in_parts(batch, [&](int64_t begin, int64_t end) {
    return gradient_part(end - begin == batch ? input : input.slice(begin, end),
                         cotangent_BK.narrow(0, begin, end - begin), result.failures);
  });
  if (watch.printed()) result.failures.push_back({"printed to standard output"});
  return result;
}

at::Tensor PluginReward::gradient_part(const ScoreInput& part, const at::Tensor& cotangent_BK,
                                       std::vector<CallFailure>& failures) {
  const Request request(part, instance_->descriptor(), instance_->place(), info_.inputs_on);
  const bool of_latents = info_.gradient_of == GradientOf::latents;
  const auto& x = of_latents ? part.latents_BCFHW : part.frames_BF3HW;
  if (!x.defined())
    throw Error(instance_->place(), "this reward's gradient is of an input that the job does not give");
  const BorrowedTensor cotangent(cotangent_BK, info_.inputs_on);
  const auto zero_B = on_host(cotangent.tensor().eq(0).all(1));
  if (zero_B.all().item<bool>()) return at::zeros(x.sizes(), at::TensorOptions(at::kFloat));
  const BorrowedTensor out(nan_filled(x.sizes()), info_.inputs_on);
  const auto* table = instance_->table();
  const auto wrong = instance_->failure_of([&] {
    return gradient_->vjp(table, request.raw(), of_latents ? THALWEG_INPUT_LATENTS : THALWEG_INPUT_FRAMES,
                          cotangent.view(), out.view());
  });
  auto gradient = wrong.empty() ? on_host(out.tensor()) : nan_filled(x.sizes());
  const auto unusable = void_unusable_samples(gradient, zero_B);
  if (!wrong.empty())
    failures.push_back({"its gradient failed: " + wrong, unusable});
  else if (unusable > 0)
    failures.push_back({"left a gradient unwritten or not finite", unusable});
  return gradient;
}

RewardInfo plugin_reward_info(const std::filesystem::path& path, const std::string& id,
                              const std::string& place) {
  return info_of(path, opened(path, place).descriptor(id, place.empty() ? path.string() : place));
}

}  // namespace thalweg
