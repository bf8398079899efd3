// The scene reward: rules in place of a network, for pictures of flat shapes on a near-white ground.
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "../shapes/refused.h"
#include "../shapes/settings.h"
#include "caption.h"
#include "score.h"
#include "thalweg/cpp/reward.hpp"
#include "verifier.h"

namespace {

using thalweg::plugin::Activation;
using thalweg::plugin::Request;
using thalweg::plugin::View;

class SceneReward final : public thalweg::plugin::Reward {
 public:
  static thalweg_reward_descriptor describe() {
    thalweg_reward_descriptor d = thalweg::plugin::describe_reward(
        "thalweg.scene", "Scene verifier", "Thalweg", "0.1.0",
        "Checks counts, colours, shapes and positions of flat shapes against the prompt");
    d.required_inputs = THALWEG_INPUT_FRAMES | THALWEG_INPUT_PROMPTS;
    d.num_dimensions = scene::kDimensions;
    d.dimension_names = scene::dimension_names.data();
    return d;
  }

  void configure(std::string_view config_json, const Activation&) override {
    shapes::refuse_settings(config_json, "scene");
  }

  std::vector<std::string> dimensions() const override {
    return {scene::dimension_names.begin(), scene::dimension_names.end()};
  }

  void score(const Request& request, View<float, 2> values_BK) override {
    const auto frames_BF3HW = request.frames_BF3HW();
    if (frames_BF3HW.shape[0] != request.batch() || frames_BF3HW.shape[1] < 1 || frames_BF3HW.shape[2] != 3) {
      throw std::invalid_argument("frames have not the shape [batch, frames >= 1, 3, height, width]");
    }
    for (std::int64_t b = 0; b < request.batch(); ++b) {
      scene::Caption caption;
      try {
        caption = scene::parse_caption(request.prompt(b));
      } catch (const std::invalid_argument& refusal) {
        const std::string line = refused_.line(std::string(request.prompt(b)), refusal.what());
        if (!line.empty()) log(THALWEG_LOG_WARNING, line);
        continue;  // stays NaN: not scored
      }
      score_sample(frames_BF3HW, b, caption, &values_BK(b, 0));
    }
  }

 private:
  // The mean over frames. A sample with a pixel that is no number is left unscored.
  void score_sample(const View<const float, 5>& frames_BF3HW, std::int64_t b, const scene::Caption& caption,
                    float* values_K) {
    const auto [batch, frames, channels, height, width] = frames_BF3HW.shape;
    const float* first = &frames_BF3HW(b, 0, 0, 0, 0);
    const std::int64_t frame_size = channels * height * width;
    for (std::int64_t i = 0; i < frames * frame_size; ++i) {
      if (!std::isfinite(first[i])) return;
    }
    scene::Scores sums{};
    for (std::int64_t f = 0; f < frames; ++f) {
      const scene::Scores scores =
          scene::score_objects(finder_.find(first + f * frame_size, height, width), caption);
      for (std::size_t k = 0; k < sums.size(); ++k) sums[k] += scores[k];
    }
    for (std::size_t k = 0; k < sums.size(); ++k) values_K[k] = sums[k] / static_cast<float>(frames);
  }

  scene::ObjectFinder finder_;
  shapes::RefusedPrompts refused_;
};

}  // namespace

THALWEG_REWARD_PLUGIN(SceneReward);
