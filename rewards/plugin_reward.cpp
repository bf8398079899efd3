#include "rewards/plugin_reward.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <utility>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "rewards/instance.h"
#include "rewards/nan_filled.h"
#include "rewards/request.h"
#include "rewards/stray_output.h"
#include "rewards/written_values.h"

namespace thalweg {
namespace {

// A word of a descriptor's features: see plugins/README.md.
constexpr const char* kComparesFrames = "video";

/// One call for the gradient of each input that is differentiated, and of them what can be used: a sample
/// whose cotangents are all 0 has gradient 0, since it is linear in them, even one that cannot be scored;
/// another needs finite numbers in all of them, else it is NaN throughout.
class GradientCalls {
 public:
  GradientCalls(const at::Tensor& zero_B, std::vector<CallFailure>& failures)
      : zero_B_(zero_B), usable_B_(at::ones_like(zero_B)), failures_(failures) {}

  /// `vjp` writes into the tensor that it is handed, and returns what went wrong.
  at::Tensor call(at::IntArrayRef shape, const std::function<std::string(at::Tensor&)>& vjp) {
    auto gradient = nan_filled(shape);
    if (void_) return gradient;  // another input's call has failed: no sample has a gradient
    const auto wrong = vjp(gradient);
    if (!wrong.empty()) gradient = nan_filled(shape);
    const auto written_B = gradient.flatten(1).isfinite().all(1).logical_or(zero_B_);
    const auto unusable = usable_B_.logical_and(written_B.logical_not()).sum().item<int64_t>();
    if (!wrong.empty())
      failures_.push_back({"its gradient failed: " + wrong, unusable});
    else if (unusable > 0)
      failures_.push_back({"left a gradient unwritten or not finite", unusable});
    void_ = !wrong.empty();
    usable_B_ = usable_B_.logical_and(written_B);
    return gradient;
  }

  void mask(at::Tensor& gradient) const {
    const auto flat = gradient.view({gradient.size(0), -1});
    flat.masked_fill_(usable_B_.logical_not().unsqueeze(1), std::numeric_limits<float>::quiet_NaN());
    flat.masked_fill_(zero_B_.unsqueeze(1), 0.0);
  }

 private:
  at::Tensor zero_B_, usable_B_;
  std::vector<CallFailure>& failures_;
  bool void_ = false;
};

at::Tensor joined(const std::vector<ScoreGradient>& parts, at::Tensor ScoreGradient::*half) {
  std::vector<at::Tensor> tensors;
  for (const auto& part : parts)
    if ((part.*half).defined()) tensors.push_back(part.*half);
  return tensors.size() > 1 ? at::cat(tensors) : tensors.empty() ? at::Tensor() : tensors.front();
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
    if (std::strcmp(*f, THALWEG_FEATURE_NONDETERMINISTIC) == 0)
      info.deterministic = false;
    else if (std::strcmp(*f, kComparesFrames) == 0)
      info.compares_frames = true;
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
  const auto* group = instance_->group();
  if (group != nullptr)
    activation_.max_batch = 0;  // groups are never cut, and may be larger than a micro-batch
  instance_->activate(config, activation_, info_.inputs_on);
  info_.dimensions_K = instance_->read_dimensions();
  if (group != nullptr) info_.least_of_group = instance_->least_of_group(*group);
  gradient_ = instance_->gradient();
  if (gradient_ == nullptr) return;
  const auto inputs = inputs_of(instance_->gradient_inputs(*gradient_));
  info_.gradient_of = inputs.frames && inputs.latents ? GradientOf::both
                      : inputs.frames                 ? GradientOf::frames
                      : inputs.latents                ? GradientOf::latents
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
void PluginReward::for_parts(int64_t batch, Part&& part) const {
  const int64_t most = activation_.max_batch == 0 ? std::max<int64_t>(batch, 1) : activation_.max_batch;
  // An empty batch is a part, too: it is refused there.
  for (int64_t b = 0; b == 0 || b < batch; b += most) part(b, std::min(b + most, batch));
}

Scored PluginReward::score(const ScoreInput& input) {
  const at::NoGradGuard no_grad;
  StrayOutputWatch watch;  // before the lock, so that no two threads hold one each
  const std::lock_guard lock(mutex_);
  check_sizes(input);
  const int64_t batch = input.batch();
  Scored scored;
  std::vector<at::Tensor> parts;
  for_parts(batch, [&](int64_t begin, int64_t end) {
    parts.push_back(score_part(end - begin == batch ? input : input.slice(begin, end), scored.failures));
  });
  scored.values_BK = parts.size() == 1 ? parts.front() : at::cat(parts);
  note_manners(watch, scored.failures);
  return scored;
}

void PluginReward::note_manners(StrayOutputWatch& watch, std::vector<CallFailure>& failures) const {
  if (watch.printed()) failures.push_back({"printed to standard output"});
  for (const auto& changed : instance_->take_changes())
    failures.push_back({"changed " + changed + ", which was put back"});
}

at::Tensor PluginReward::score_part(const ScoreInput& part, std::vector<CallFailure>& failures) {
  const Request request(part, instance_->descriptor(), instance_->place(), info_.inputs_on);
  const auto K = static_cast<int64_t>(info_.dimensions_K.size());
  const BorrowedTensor values_BK(unwritten({part.batch(), K}), info_.inputs_on);
  const auto* table = instance_->table();
  const auto wrong =
      instance_->failure_of("score", [&] { return table->score(table, request.raw(), values_BK.view()); });
  if (!wrong.empty()) {
    failures.push_back({wrong, part.batch()});
    return nan_filled({part.batch(), K});
  }
  const auto values = on_host(values_BK.tensor());
  const auto notes = instance_->notes();
  for (int64_t k = 0; k < K; ++k)
    find_failures(values, k, info_.dimensions_K[static_cast<size_t>(k)], notes, failures);
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
  std::vector<ScoreGradient> parts;
  for_parts(batch, [&](int64_t begin, int64_t end) {
    parts.push_back(gradient_part(end - begin == batch ? input : input.slice(begin, end),
                                  cotangent_BK.narrow(0, begin, end - begin)));
    const auto& failures = parts.back().failures;
    result.failures.insert(result.failures.end(), failures.begin(), failures.end());
  });
  result.frames_BF3HW = joined(parts, &ScoreGradient::frames_BF3HW);
  result.latents_BCFHW = joined(parts, &ScoreGradient::latents_BCFHW);
  note_manners(watch, result.failures);
  return result;
}

ScoreGradient PluginReward::gradient_part(const ScoreInput& part, const at::Tensor& cotangent_BK) {
  const Request request(part, instance_->descriptor(), instance_->place(), info_.inputs_on);
  const bool of_frames = includes_frames(info_.gradient_of) && part.frames_BF3HW.defined(),
             of_latents = includes_latents(info_.gradient_of) && part.latents_BCFHW.defined();
  if (!of_frames && !of_latents)
    throw Error(instance_->place(), "this reward's gradient is of an input that the job does not give");
  const BorrowedTensor cotangent(cotangent_BK, info_.inputs_on);
  const auto zero_B = on_host(cotangent.tensor().eq(0).all(1));
  const bool nothing_asked = zero_B.all().item<bool>();
  ScoreGradient result;
  GradientCalls calls(zero_B, result.failures);
  const auto* table = instance_->table();
  const auto gradient = [&](const at::Tensor& x, uint64_t input) {
    if (nothing_asked) return at::zeros(x.sizes(), at::TensorOptions(at::kFloat));
    return calls.call(x.sizes(), [&](at::Tensor& written) {
      const BorrowedTensor out(written, info_.inputs_on);
      auto wrong = instance_->failure_of(
          "vjp", [&] { return gradient_->vjp(table, request.raw(), input, cotangent.view(), out.view()); });
      written = on_host(out.tensor());
      return wrong;
    });
  };
  if (of_frames) result.frames_BF3HW = gradient(part.frames_BF3HW, THALWEG_INPUT_FRAMES);
  if (of_latents) result.latents_BCFHW = gradient(part.latents_BCFHW, THALWEG_INPUT_LATENTS);
  for (auto* half : {&result.frames_BF3HW, &result.latents_BCFHW})
    if (half->defined()) calls.mask(*half);
  return result;
}

RewardInfo plugin_reward_info(const std::filesystem::path& path, const std::string& id,
                              const std::string& place) {
  return info_of(path, opened(path, place).descriptor(id, place.empty() ? path.string() : place));
}

}  // namespace thalweg
