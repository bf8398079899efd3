#include "rewards/single_frames.h"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/core/rng.h"

namespace thalweg {
namespace {

// Ids of samples leave this bit free: see ScoreInput::name_next.
constexpr uint64_t kOfAFrame = uint64_t{1} << 63;

/// [B,F,...] at the chosen frames, one after the other: [S B,1,...]. One frame, of a picture that was given
/// with a video, stands for all.
at::Tensor frames_of(const at::Tensor& x, const std::vector<int64_t>& chosen, const std::string& place) {
  if (!x.defined()) return x;
  std::vector<at::Tensor> parts;
  for (const auto f : chosen) {
    if (x.size(1) != 1 && f >= x.size(1))
      throw Error(place,
                  "a reference or mask has " + std::to_string(x.size(1)) + " frames, fewer than its video");
    parts.push_back(x.narrow(1, x.size(1) == 1 ? 0 : f, 1));
  }
  return parts.size() == 1 ? parts.front() : at::cat(parts);
}

template <class T>
void repeat(std::vector<T>& values, size_t times) {
  const auto once = values.size();
  values.reserve(once * times);
  for (size_t i = once; i < once * times; ++i) values.push_back(values[i - once]);
}

/// [B,K]; both ways keep a NaN.
at::Tensor combined(const at::Tensor& values_SBK, FrameChoice::Over over) {
  const auto wide = values_SBK.to(at::kDouble);
  return (over == FrameChoice::Over::minimum ? wide.amin(0) : wide.mean(0)).to(at::kFloat);
}

/// Failures of pictures, counted in videos: of how many each reason was is not known, so as many as can be.
std::vector<CallFailure> of_videos(std::vector<CallFailure> failures, const at::Tensor& lost_BK) {
  for (auto& failure : failures) {
    const auto lost_B = failure.dimension < 0 ? lost_BK.any(1) : lost_BK.select(1, failure.dimension);
    failure.samples = std::min(failure.samples, lost_B.sum().item<int64_t>());
  }
  return failures;
}

/// The cotangent [B,K] at the lowest of the values [S,B,K], the first of equals; 0 elsewhere.
at::Tensor lowest_alone(const at::Tensor& values_SBK, const at::Tensor& cotangent_BK) {
  const auto at_BK = values_SBK.eq(values_SBK.amin(0)).to(at::kByte).argmax(0);
  return at::zeros_like(values_SBK).scatter_(0, at_BK.unsqueeze(0), cotangent_BK.unsqueeze(0));
}

}  // namespace

RewardInfo single_frames_info(RewardInfo info, const std::string& place) {
  const auto refuse = [&](const std::string& why) {
    throw Error(place + "/frames", "\"" + info.name + "\" " + why + ": leave \"frames\" out");
  };
  if (info.compares_frames) refuse("compares the frames of a video and takes it whole");
  if (info.required.latents) refuse("takes latents, which are of the whole video");
  if (!info.required.frames && !info.optional.frames) refuse("takes no frames");
  info.optional.latents = false;
  info.gradient_of = includes_frames(info.gradient_of) ? GradientOf::frames : GradientOf::none;
  return info;
}

SingleFrames::SingleFrames(std::unique_ptr<Reward> reward, const FrameChoice& choice,
                           const std::string& place)
    : reward_(std::move(reward)),
      choice_(choice),
      place_(place),
      info_(single_frames_info(reward_->info(), place)) {}

ScoreInput SingleFrames::pictures(const ScoreInput& input, const std::vector<int64_t>& chosen) const {
  if (input.frames_BF3HW.dim() != 5 || input.frames_BF3HW.size(1) < 1)
    throw Error(place_, "frames must be [batch, frames, 3, height, width]");
  const auto batch = input.batch();
  const auto times = chosen.size();
  auto one = input.slice(0, batch);  // names what has no ids
  one.latents_BCFHW = one.sigmas_B = at::Tensor();
  one.fps = 0;
  one.frames_BF3HW = frames_of(input.frames_BF3HW, chosen, place_);
  one.reference_BF3HW = frames_of(input.reference_BF3HW, chosen, place_);
  one.mask_BF1HW = frames_of(input.mask_BF1HW, chosen, place_);
  repeat(one.prompts, times);
  repeat(one.metadata_json, times);
  repeat(one.sample_ids, times);
  repeat(one.seeds, times);
  repeat(one.group_ids, times);
  const auto each = static_cast<int64_t>(times);
  for (size_t i = 0; i < one.group_ids.size(); ++i)
    if (auto& group = one.group_ids[i]; group >= 0) group = group * each + static_cast<int64_t>(i) / batch;
  for (auto i = static_cast<size_t>(batch); i < one.sample_ids.size(); ++i) {
    const auto of_video = one.sample_ids[i];
    const auto frame = static_cast<uint64_t>(chosen[i / static_cast<size_t>(batch)]);
    one.sample_ids[i] = kOfAFrame | random_bits(of_video, Purpose::reward, frame, 0);
    if (!one.seeds.empty()) one.seeds[i] = random_bits(one.seeds[i], Purpose::reward, frame, 1);
  }
  return one;
}

Scored SingleFrames::score(const ScoreInput& input) {
  if (!input.frames_BF3HW.defined()) return reward_->score(input);  // it says what it lacks, or does without
  const auto chosen = choice_.chosen(input.frames_BF3HW.size(1));
  auto scored = reward_->score(pictures(input, chosen));
  const auto K = scored.values_BK.size(1);
  const auto values_SBK = scored.values_BK.view({static_cast<int64_t>(chosen.size()), -1, K});
  Scored result{combined(values_SBK, choice_.over_frames), {}};
  result.failures = of_videos(std::move(scored.failures), result.values_BK.isnan());
  return result;
}

ScoreGradient SingleFrames::gradient(const ScoreInput& input, const at::Tensor& cotangent_BK) {
  const at::NoGradGuard no_grad;
  if (info_.gradient_of == GradientOf::none) throw Error(place_, "this reward has no gradient");
  const auto& x = input.frames_BF3HW;
  if (!x.defined()) throw Error(place_, "this reward's gradient is of an input that the job does not give");
  const auto B = input.batch(), K = static_cast<int64_t>(info_.dimensions_K.size());
  if (cotangent_BK.dim() != 2 || cotangent_BK.size(0) != B || cotangent_BK.size(1) != K)
    throw Error(place_, "the cotangent must be [batch, dimensions]");
  const auto chosen = choice_.chosen(x.size(1));
  const auto S = static_cast<int64_t>(chosen.size());
  const auto all = pictures(input, chosen);
  const auto wanted_BK = on_host(cotangent_BK.detach().to(at::kFloat));
  auto lost_B = at::zeros({B}, at::kBool);
  auto share_NK = (wanted_BK / static_cast<double>(S)).repeat({S, 1});
  if (choice_.over_frames == FrameChoice::Over::minimum && S > 1) {
    const auto values_SBK = reward_->score(all).values_BK.view({S, B, K});
    lost_B = values_SBK.isnan().any(0).logical_and(wanted_BK.ne(0)).any(1);
    share_NK = lowest_alone(values_SBK, wanted_BK).view({S * B, K});
  }

  // Only frames that are asked about: of a minimum most are not.
  const auto asked = share_NK.ne(0).any(1).nonzero().squeeze(1);
  auto gradient_N3HW = at::zeros({S * B, x.size(2), x.size(3), x.size(4)}, at::kFloat);
  ScoreGradient result;
  if (asked.numel() > 0) {
    const auto* first = asked.const_data_ptr<int64_t>();
    auto part =
        reward_->gradient(all.select({first, first + asked.numel()}), share_NK.index_select(0, asked));
    gradient_N3HW.index_copy_(0, asked, part.frames_BF3HW.squeeze(1));
    lost_B.logical_or_(gradient_N3HW.view({S, B, -1}).isfinite().all(2).all(0).logical_not());
    result.failures = of_videos(std::move(part.failures), lost_B.unsqueeze(1).expand({B, K}));
  }
  result.frames_BF3HW = at::zeros(x.sizes(), at::kFloat);
  result.frames_BF3HW.index_copy_(
      1, at::tensor(chosen, at::kLong),
      gradient_N3HW.view({S, B, x.size(2), x.size(3), x.size(4)}).transpose(0, 1));
  result.frames_BF3HW.masked_fill_(lost_B.view({B, 1, 1, 1, 1}), std::numeric_limits<float>::quiet_NaN());
  return result;
}

}  // namespace thalweg
