// A reward of pictures, given videos: it is handed single frames, and its values of them become the video's.
#pragma once

#include <memory>

#include "rewards/frame_choice.h"
#include "rewards/reward.h"

namespace thalweg {

/// Each chosen frame is a sample of its own to the reward: with the video's prompt, metadata and group (of
/// the frames at that time), frames [1,3,H,W], and a picture's fps. The first keeps the video's id and seed,
/// so that a picture scores as it does without this; the others have their own. Values are combined by
/// dimension: one frame that is not scored leaves the video not scored, and of the reward's reasons each is
/// kept, counted in videos. The gradient of a mean is exact; that of a minimum is the first lowest frame's,
/// which is found by scoring again.
class SingleFrames final : public Reward {
 public:
  /// `choice` is single(). Throws Error at `place` for a reward that compares frames, takes none, or requires
  /// latents, which are the whole video's; optional ones are not handed over.
  SingleFrames(std::unique_ptr<Reward> reward, const FrameChoice& choice, const std::string& place);

  const RewardInfo& info() const override { return info_; }
  Scored score(const ScoreInput& input) override;
  ScoreGradient gradient(const ScoreInput& input, const at::Tensor& cotangent_BK) override;

 private:
  /// Time by time: sample s B + b is frame s, of those chosen, of video b.
  ScoreInput pictures(const ScoreInput& input, const std::vector<int64_t>& chosen) const;

  std::unique_ptr<Reward> reward_;
  const FrameChoice choice_;
  const std::string place_;
  RewardInfo info_;
};

/// `info` of a reward as SingleFrames hands it on, without the reward. Throws as its constructor does.
RewardInfo single_frames_info(RewardInfo info, const std::string& place);

}  // namespace thalweg
