// A video for tests, and what becomes of videos on their way through codecs and models.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "pipelines/moving_scenes/scene.h"
#include "pipelines/scenes/random.h"
#include "plugins/motion/score.h"
#include "tests/scenes/canvas.h"

namespace thalweg::moving_scenes {

using Frame = std::vector<float>;  // 3HW

struct Clip {
  int side = kDefaultSide;
  std::vector<Frame> frames;

  static Clip of(const Scene& scene, std::uint64_t noise_seed = 0, int side = kDefaultSide,
                 int number = kDefaultFrames) {
    const std::size_t size = 3 * static_cast<std::size_t>(side) * static_cast<std::size_t>(side);
    std::vector<float> rgb_F3HW(size * static_cast<std::size_t>(number));
    render(scene, noise_seed, rgb_F3HW.data(), side, number);
    Clip clip{side, {}};
    for (auto frame = rgb_F3HW.begin(); frame != rgb_F3HW.end(); frame += static_cast<std::ptrdiff_t>(size)) {
      clip.frames.emplace_back(frame, frame + static_cast<std::ptrdiff_t>(size));
    }
    return clip;
  }

  /// The frames with these numbers, in this order.
  Clip in_order(const std::vector<std::size_t>& numbers) const {
    Clip clip{side, {}};
    for (const std::size_t number : numbers) clip.frames.push_back(frames.at(number));
    return clip;
  }

  Clip reversed() const {
    Clip clip = *this;
    std::reverse(clip.frames.begin(), clip.frames.end());
    return clip;
  }

  /// Frame `at` becomes a mixture: so much of frame `of`.
  void mix(std::size_t at, std::size_t of, float share) {
    for (std::size_t i = 0; i < frames[at].size(); ++i) {
      frames[at][i] += share * (frames.at(of)[i] - frames[at][i]);
    }
  }

  /// The mean of 3 x 3 pixels, with weights 1 `middle` 1 both ways.
  void blur(float middle) {
    const std::array<float, 3> weights = {1 / (2 + middle), middle / (2 + middle), 1 / (2 + middle)};
    for (Frame& frame : frames) {
      const Frame sharp = frame;
      for (std::size_t i = 0; i < frame.size(); ++i) {
        const int n = static_cast<int>(i), x = n % side, y = n / side % side, plane = n - y * side - x;
        frame[i] = 0;
        for (int v = -1; v <= 1; ++v) {
          for (int u = -1; u <= 1; ++u) {
            const int row = std::clamp(y + v, 0, side - 1), column = std::clamp(x + u, 0, side - 1);
            frame[i] += weights.at(static_cast<std::size_t>(v + 1)) *
                        weights.at(static_cast<std::size_t>(u + 1)) *
                        sharp[static_cast<std::size_t>(plane + row * side + column)];
          }
        }
      }
    }
  }

  /// Each frame takes a share of each of its neighbours.
  void smear(float share) {
    const std::vector<Frame> sharp = frames;
    for (std::size_t f = 0; f < frames.size(); ++f) {
      const Frame &before = sharp[f == 0 ? 0 : f - 1], &after = sharp[std::min(f + 1, sharp.size() - 1)];
      for (std::size_t i = 0; i < frames[f].size(); ++i) {
        frames[f][i] += share * (before[i] + after[i] - 2 * sharp[f][i]);
      }
    }
  }

  /// Nearly normal noise: the sum of twelve uniform numbers.
  void add_noise(float deviation, std::uint64_t seed) {
    scenes::Random random(seed, 0);
    for (Frame& frame : frames) {
      for (float& value : frame) {
        float sum = -6;
        for (int i = 0; i < 12; ++i) sum += random.uniform(0, 1);
        value = std::clamp(value + deviation * sum, 0.0F, 1.0F);
      }
    }
  }

  std::vector<std::vector<motion::Object>> objects() const {
    motion::ObjectFinder finder;
    std::vector<std::vector<motion::Object>> objects_F;
    for (const Frame& frame : frames) objects_F.push_back(finder.find(frame.data(), side, side));
    return objects_F;
  }

  motion::Scores score(const std::string& prompt) const {
    return motion::score_frames(objects(), motion::parse_caption(prompt));
  }
  float strict(const std::string& prompt) const { return score(prompt)[motion::kStrict]; }
};

/// A scene with this caption of the world.
inline Scene scene_with(const std::string& caption, std::uint64_t index = 0) {
  return scene_of(find_caption(caption), 77, index);
}

}  // namespace thalweg::moving_scenes
