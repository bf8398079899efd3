// The motion reward: rules in place of a network, for videos of flat shapes on a near-white ground.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "../shapes/refused.h"
#include "../shapes/settings.h"
#include "caption.h"
#include "objects.h"
#include "score.h"
#include "thalweg/cpp/reward.hpp"

namespace {

using thalweg::plugin::Activation;
using thalweg::plugin::Request;
using thalweg::plugin::View;

class MotionReward final : public thalweg::plugin::Reward {
 public:
  static thalweg_reward_descriptor describe() {
    thalweg_reward_descriptor d =
        thalweg::plugin::describe_reward("thalweg.motion", "Motion verifier", "Thalweg", "0.1.0",
                                         "Checks what flat shapes do in a video against the prompt: moves, "
                                         "sizes, appearances, turns of colour");
    d.required_inputs = THALWEG_INPUT_FRAMES | THALWEG_INPUT_PROMPTS;
    d.num_dimensions = motion::kDimensions;
    d.dimension_names = motion::dimension_names.data();
    return d;
  }

  void configure(std::string_view config_json, const Activation&) override {
    shapes::refuse_settings(config_json, "motion");
  }

  std::vector<std::string> dimensions() const override {
    return {motion::dimension_names.begin(), motion::dimension_names.end()};
  }

  void score(const Request& request, View<float, 2> values_BK) override {
    const auto frames_BF3HW = request.frames_BF3HW();
    if (frames_BF3HW.shape[0] != request.batch() || frames_BF3HW.shape[2] != 3) {
      throw std::invalid_argument("frames have not the shape [batch, frames, 3, height, width]");
    }
    const std::string unfit = why_unfit(frames_BF3HW);
    for (std::int64_t b = 0; b < request.batch(); ++b) {
      if (!unfit.empty()) {
        not_scored(b, unfit);
        continue;
      }
      try {
        score_sample(frames_BF3HW, b, motion::parse_caption(request.prompt(b)), &values_BK(b, 0));
      } catch (const std::invalid_argument& refusal) {
        const std::string line = refused_.line(std::string(request.prompt(b)), refusal.what());
        if (!line.empty()) log(THALWEG_LOG_WARNING, line);
        not_scored(b, refusal.what());
      }
    }
  }

 private:
  // A picture, a short or a tiny video is no mistake of the call: its samples stay unscored, each with the
  // reason.
  static std::string why_unfit(const View<const float, 5>& frames_BF3HW) {
    const auto [batch, frames, channels, height, width] = frames_BF3HW.shape;
    if (frames < motion::kLeastFrames || frames > motion::kMostFrames) {
      return "a video of " + std::to_string(frames) + (frames == 1 ? " frame" : " frames") +
             "; the motion reward takes 5 to 4096";
    }
    if (std::min(height, width) < motion::kLeastSide || std::max(height, width) > motion::kMostSide) {
      return "frames of " + std::to_string(height) + " x " + std::to_string(width) +
             "; the motion reward takes sides of 32 to 16384";
    }
    return "";
  }

  void score_sample(const View<const float, 5>& frames_BF3HW, std::int64_t b, const motion::Caption& caption,
                    float* values_K) {
    const auto [batch, frames, channels, height, width] = frames_BF3HW.shape;
    const float* first = &frames_BF3HW(b, 0, 0, 0, 0);
    const std::int64_t frame_size = channels * height * width;
    for (std::int64_t i = 0; i < frames * frame_size; ++i) {
      if (!std::isfinite(first[i])) return not_scored(b, "a pixel is not a finite number");
    }
    std::vector<std::vector<motion::Object>> objects_F;
    for (std::int64_t f = 0; f < frames; ++f) {
      objects_F.push_back(finder_.find(first + f * frame_size, height, width));
    }
    const motion::Scores scores = motion::score_frames(objects_F, caption);
    std::copy(scores.begin(), scores.end(), values_K);
  }

  motion::ObjectFinder finder_;
  shapes::RefusedPrompts refused_;
};

}  // namespace

THALWEG_REWARD_PLUGIN(MotionReward);
