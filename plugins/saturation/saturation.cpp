// How saturated a picture is: mean over all pixels and frames of 3/2 sum over channels of (c - their mean)^2,
// 0 of grey and 1 of a pure colour. HSV's, (largest - smallest) / largest, is steep in the dark, so that
// black would have it, and has a kink at grey, where most of a picture may lie.
#include <nlohmann/json.hpp>
#include <thalweg/cpp/reward.hpp>

namespace {

using thalweg::plugin::Activation;
using thalweg::plugin::Request;
using thalweg::plugin::View;

constexpr const char* kDimensions[] = {"saturation"};

// The channels of a pixel are a plane apart.
struct Pixel {
  double red, green, blue, mean;

  Pixel(const float* at, std::int64_t plane)
      : red(at[0]), green(at[plane]), blue(at[2 * plane]), mean((red + green + blue) / 3.0) {}
  double saturation() const {
    const double r = red - mean, g = green - mean, b = blue - mean;
    return 1.5 * (r * r + g * g + b * b);
  }
};

class Saturation final : public thalweg::plugin::DifferentiableReward {
 public:
  static thalweg_reward_descriptor describe() {
    auto d = thalweg::plugin::describe_reward(
        "org.thalweg.saturation", "Saturation", "Thalweg", "0.1.0",
        "3/2 of the squared distance of pixels from grey, their mean: 0 of grey, 1 of a pure colour. "
        "No configuration.");
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
        for (std::int64_t i = 0; i < H * W; ++i) sum += Pixel(&frames(b, f) + i, H * W).saturation();
      // A NaN among the pixels stays NaN here, and so the sample stays unscored.
      values_BK(b, 0) = static_cast<float>(sum / static_cast<double>(F * H * W));
    }
  }

  std::uint64_t gradient_inputs() const override { return THALWEG_INPUT_FRAMES; }

  void vjp(const Request& request, std::uint64_t, View<const float, 2> cotangent_BK,
           View<float, 5> gradient) override {
    const auto frames = checked_frames(request);
    if (gradient.shape != frames.shape)
      throw std::invalid_argument("the gradient has not the shape of frames");
    const auto [B, F, C, H, W] = frames.shape;
    for (std::int64_t b = 0; b < B; ++b) {
      const double scale = 3.0 * cotangent_BK(b, 0) / static_cast<double>(F * H * W);
      for (std::int64_t f = 0; f < F; ++f)
        for (std::int64_t i = 0; i < H * W; ++i) {
          const Pixel pixel(&frames(b, f) + i, H * W);
          float* out = &gradient(b, f) + i;
          out[0] = static_cast<float>(scale * (pixel.red - pixel.mean));
          out[H * W] = static_cast<float>(scale * (pixel.green - pixel.mean));
          out[2 * H * W] = static_cast<float>(scale * (pixel.blue - pixel.mean));
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
