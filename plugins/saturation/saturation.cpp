// How saturated a picture is: mean over all pixels and frames of (largest - smallest) / largest of the three
// channels, as HSV has it, in [0, 1]. Below one 8-bit level the divisor stays there, so that black is not
// infinitely steep.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <thalweg/cpp/reward.hpp>

namespace {

using thalweg::plugin::Activation;
using thalweg::plugin::Request;
using thalweg::plugin::View;

constexpr const char* kDimensions[] = {"saturation"};
constexpr double kLevel = 1.0 / 255.0;

// The channels of a pixel are a plane apart.
struct Extremes {
  std::int64_t largest = 0, smallest = 0;  // offsets
  double high = 0.0, low = 0.0;

  Extremes(const float* pixel, std::int64_t plane) : high(pixel[0]), low(pixel[0]) {
    for (std::int64_t offset : {plane, 2 * plane}) {
      if (pixel[offset] > high) high = pixel[largest = offset];
      if (pixel[offset] < low) low = pixel[smallest = offset];
    }
  }
  double divisor() const { return std::max(high, kLevel); }
};

class Saturation final : public thalweg::plugin::DifferentiableReward {
 public:
  static thalweg_reward_descriptor describe() {
    auto d = thalweg::plugin::describe_reward(
        "org.thalweg.saturation", "Saturation", "Thalweg", "0.1.0",
        "Mean of (largest - smallest) / largest of a pixel's three channels, in [0, 1]. No configuration.");
    d.num_dimensions = 1;
    d.dimension_names = kDimensions;
    return d;
  }

  void configure(std::string_view config_json, const Activation&) override {
    const auto config = nlohmann::json::parse(config_json);
    if (!config.is_object()) throw std::invalid_argument("the configuration must be a JSON object");
    if (!config.empty())
      throw std::invalid_argument("/" + config.begin().key() + ": unknown key; there are none");
  }

  std::vector<std::string> dimensions() const override { return {kDimensions[0]}; }

  void score(const Request& request, View<float, 2> values_BK) override {
    const auto frames = checked_frames(request);
    const auto [B, F, C, H, W] = frames.shape;
    for (std::int64_t b = 0; b < B; ++b) {
      double sum = 0.0;
      for (std::int64_t f = 0; f < F; ++f)
        for (std::int64_t i = 0; i < H * W; ++i) {
          const float* pixel = &frames(b, f) + i;
          const Extremes e(pixel, H * W);
          sum += (e.high - e.low) / e.divisor();
          // Comparisons pass over a NaN, which the sample must not survive.
          sum += 0.0 * (pixel[0] + pixel[H * W] + pixel[2 * H * W]);
        }
      values_BK(b, 0) = static_cast<float>(sum / static_cast<double>(F * H * W));
    }
  }

  std::uint64_t gradient_inputs() const override { return THALWEG_INPUT_FRAMES; }

  // Where channels are alike the first of them counts; of a grey pixel, all of whose channels are, none.
  void vjp(const Request& request, std::uint64_t, View<const float, 2> cotangent_BK,
           View<float, 5> gradient) override {
    const auto frames = checked_frames(request);
    if (gradient.shape != frames.shape)
      throw std::invalid_argument("the gradient has not the shape of frames");
    const auto [B, F, C, H, W] = frames.shape;
    for (std::int64_t b = 0; b < B; ++b) {
      const double scale = cotangent_BK(b, 0) / static_cast<double>(F * H * W);
      std::fill_n(&gradient(b), F * C * H * W, 0.0f);
      for (std::int64_t f = 0; f < F; ++f)
        for (std::int64_t i = 0; i < H * W; ++i) {
          const Extremes e(&frames(b, f) + i, H * W);
          if (e.largest == e.smallest) continue;
          const double d = e.divisor();
          float* out = &gradient(b, f) + i;
          out[e.largest] = static_cast<float>(scale * (e.high > kLevel ? e.low / (d * d) : 1.0 / d));
          out[e.smallest] = static_cast<float>(-scale / d);
        }
    }
  }

 private:
  static View<const float, 5> checked_frames(const Request& request) {
    const auto frames = request.frames_BF3HW();
    if (frames.shape[0] != request.batch() || frames.shape[2] != 3)
      throw std::invalid_argument("frames must be [batch, frames, 3, height, width]");
    if (frames.size() == 0) throw std::invalid_argument("frames has no pixels");
    return frames;
  }
};

}  // namespace

THALWEG_REWARD_PLUGIN(Saturation);
