// How a video changes from frame to frame, by differences of its pixels. One plugin, since all three are read
// off the same pass over the frames; formulas in README.md.
#include <cmath>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "thalweg/cpp/reward.hpp"

namespace {

using thalweg::plugin::Activation;
using thalweg::plugin::Request;
using thalweg::plugin::View;

constexpr const char* kDimensions[] = {"temporal_flickering", "motion_linearity", "frame_change"};
enum Column : std::int64_t { kFlickering, kLinearity, kChange, kColumns };
constexpr std::int64_t kFewestFrames[] = {2, 3, 2};
constexpr const char* kFeatures[] = {"video", nullptr};
constexpr double kLeastScale = 1e-4, kMostScale = 1.0;

double sign_of(double x) {
  return x > 0 ? 1.0 : x < 0 ? -1.0 : 0.0;
}

class Temporal final : public thalweg::plugin::DifferentiableReward {
 public:
  static thalweg_reward_descriptor describe() {
    auto d = thalweg::plugin::describe_reward(
        "org.thalweg.temporal", "Temporal", "Thalweg", "0.1.0",
        "Differences of the frames of a video: VBench's temporal flickering, linearity of the motion of "
        "pixel "
        "values, and how much changes, 0 to 1. Configuration: {\"change_scale\": 0.0001 to 1}.");
    d.paper_url = "https://arxiv.org/abs/2311.17982";
    d.features = kFeatures;
    d.num_dimensions = kColumns;
    d.dimension_names = kDimensions;
    return d;
  }

  void configure(std::string_view config_json, const Activation&) override {
    const auto config = nlohmann::json::parse(config_json);
    if (!config.is_object()) throw std::invalid_argument("the configuration must be a JSON object");
    for (const auto& [key, value] : config.items()) {
      if (key != "change_scale")
        throw std::invalid_argument("/" + key + ": unknown key; known: change_scale");
      if (!value.is_number() || !(value >= kLeastScale && value <= kMostScale))
        throw std::invalid_argument("/change_scale: must be a number from 0.0001 to 1");
      change_scale_ = value.get<double>();
    }
  }

  std::vector<std::string> dimensions() const override {
    return {std::begin(kDimensions), std::end(kDimensions)};
  }

  void score(const Request& request, View<float, 2> values_BK) override {
    const auto frames = checked_frames(request);
    const auto F = frames.shape[1];
    for (std::int64_t b = 0; b < frames.shape[0]; ++b) {
      const auto d = differences(frames, b);
      // A NaN among the pixels stays NaN in these, and so the sample stays unscored.
      if (F >= kFewestFrames[kFlickering]) {
        values_BK(b, kFlickering) = static_cast<float>(1 - d.first);
        values_BK(b, kChange) = static_cast<float>(-std::expm1(-d.first / change_scale_));
      }
      if (F >= kFewestFrames[kLinearity]) values_BK(b, kLinearity) = static_cast<float>(1 - d.second / 2);
      if (F < kFewestFrames[kLinearity])
        not_scored(b, "the sample has " + std::to_string(F) + (F == 1 ? " frame" : " frames") +
                          "; motion_linearity compares 3, the others 2");
    }
  }

  std::uint64_t gradient_inputs() const override { return THALWEG_INPUT_FRAMES; }

  void vjp(const Request& request, std::uint64_t, View<const float, 2> cotangent_BK,
           View<float, 5> gradient) override {
    const auto frames = checked_frames(request);
    if (gradient.shape != frames.shape)
      throw std::invalid_argument("the gradient has not the shape of frames");
    for (std::int64_t b = 0; b < frames.shape[0]; ++b) {
      bool scored = true;  // all that is asked for; else the sample has no gradient
      for (std::int64_t k = 0; k < kColumns; ++k)
        scored = scored && (cotangent_BK(b, k) == 0 || frames.shape[1] >= kFewestFrames[k]);
      if (scored) write_gradient(frames, b, &cotangent_BK(b, 0), gradient);
    }
  }

 private:
  struct Differences {
    double first = 0, second = 0;  // mean |f[t+1] - f[t]|, mean |f[t+1] - 2 f[t] + f[t-1]|
  };

  static Differences differences(const View<const float, 5>& frames, std::int64_t b) {
    const std::int64_t F = frames.shape[1], N = frames.size() / (frames.shape[0] * F);
    Differences sums;
    for (std::int64_t t = 0; t + 1 < F; ++t) {
      const float *now = &frames(b, t), *next = &frames(b, t + 1),
                  *before = t > 0 ? &frames(b, t - 1) : nullptr;
      for (std::int64_t i = 0; i < N; ++i) {
        const double step = static_cast<double>(next[i]) - now[i];
        sums.first += std::fabs(step);
        if (before != nullptr) sums.second += std::fabs(step - (static_cast<double>(now[i]) - before[i]));
      }
    }
    if (F > 1) sums.first /= static_cast<double>((F - 1) * N);
    if (F > 2) sums.second /= static_cast<double>((F - 2) * N);
    return sums;
  }

  /// By the subgradient that is 0 where a difference is.
  void write_gradient(const View<const float, 5>& frames, std::int64_t b, const float* cotangent_K,
                      const View<float, 5>& gradient) const {
    const std::int64_t F = frames.shape[1], N = frames.size() / (frames.shape[0] * F);
    double of_first = -cotangent_K[kFlickering], of_second = -cotangent_K[kLinearity] / 2.0;
    if (cotangent_K[kChange] != 0)
      of_first +=
          cotangent_K[kChange] * std::exp(-differences(frames, b).first / change_scale_) / change_scale_;
    if (F > 1) of_first /= static_cast<double>((F - 1) * N);
    if (F > 2) of_second /= static_cast<double>((F - 2) * N);
    const auto pixel = [&](std::int64_t t, std::int64_t i) {
      return static_cast<double>((&frames(b, t))[i]);
    };
    const auto step = [&](std::int64_t t, std::int64_t i) { return pixel(t + 1, i) - pixel(t, i); };
    const auto bend = [&](std::int64_t t, std::int64_t i) { return step(t, i) - step(t - 1, i); };
    for (std::int64_t t = 0; t < F; ++t)
      for (std::int64_t i = 0; i < N; ++i) {
        double sum = 0;
        if (t > 0) sum += of_first * sign_of(step(t - 1, i));
        if (t + 1 < F) sum -= of_first * sign_of(step(t, i));
        if (of_second != 0) {
          if (t > 1) sum += of_second * sign_of(bend(t - 1, i));
          if (t > 0 && t + 1 < F) sum -= 2 * of_second * sign_of(bend(t, i));
          if (t + 2 < F) sum += of_second * sign_of(bend(t + 1, i));
        }
        (&gradient(b, t))[i] = static_cast<float>(sum);
      }
  }

  static View<const float, 5> checked_frames(const Request& request) {
    const auto frames = request.frames_BF3HW();
    if (frames.shape[0] != request.batch() || frames.shape[2] != 3)
      throw std::invalid_argument("frames must be [batch, frames, 3, height, width]");
    if (frames.size() == 0) throw std::invalid_argument("frames has no pixels");
    return frames;
  }

  double change_scale_ = 0.05;
};

}  // namespace

THALWEG_REWARD_PLUGIN(Temporal);
