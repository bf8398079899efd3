// How much a picture is of one colour: mean over all pixels and frames of c - (a + b)/2, where c is the
// chosen channel and a, b are the other two. In [-1, 1]; linear, so its gradient is exact and constant.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <thalweg/cpp/reward.hpp>

namespace {

using thalweg::plugin::Activation;
using thalweg::plugin::Request;
using thalweg::plugin::View;

constexpr std::array<const char*, 3> kChannels = {"red", "green", "blue"};
constexpr const char* kDimensions[] = {"redness"};  // of the default configuration

class Color final : public thalweg::plugin::DifferentiableReward {
 public:
  static thalweg_reward_descriptor describe() {
    auto d = thalweg::plugin::describe_reward(
        "org.thalweg.color", "Color", "Thalweg", "0.1.0",
        "Mean of one colour channel above the mean of the other two, in [-1, 1]. "
        "Configuration: {\"channel\": \"red\" | \"green\" | \"blue\"}.");
    d.num_dimensions = 1;
    d.dimension_names = kDimensions;
    return d;
  }

  void configure(std::string_view config_json, const Activation&) override {
    const auto config = nlohmann::json::parse(config_json);
    if (!config.is_object()) throw std::invalid_argument("the configuration must be a JSON object");
    for (const auto& [key, value] : config.items()) {
      if (key != "channel") throw std::invalid_argument("/" + key + ": unknown key; known: channel");
      const auto* known = std::find(kChannels.begin(), kChannels.end(), value);
      if (known == kChannels.end())
        throw std::invalid_argument("/channel: must be \"red\", \"green\" or \"blue\"");
      channel_ = known - kChannels.begin();
    }
  }

  std::vector<std::string> dimensions() const override {
    return {std::string(kChannels[static_cast<std::size_t>(channel_)]) + "ness"};
  }

  void score(const Request& request, View<float, 2> values_BK) override {
    const auto frames = checked_frames(request);
    const auto [B, F, C, H, W] = frames.shape;
    for (std::int64_t b = 0; b < B; ++b) {
      double sum = 0;
      for (std::int64_t f = 0; f < F; ++f)
        for (std::int64_t c = 0; c < C; ++c) {
          const float* plane = &frames(b, f, c);
          double plane_sum = 0;
          for (std::int64_t i = 0; i < H * W; ++i) plane_sum += plane[i];
          sum += weight(c) * plane_sum;
        }
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
      const double scale = cotangent_BK(b, 0) / static_cast<double>(F * H * W);
      for (std::int64_t f = 0; f < F; ++f)
        for (std::int64_t c = 0; c < C; ++c)
          std::fill_n(&gradient(b, f, c), H * W, static_cast<float>(weight(c) * scale));
    }
  }

 private:
  double weight(std::int64_t c) const { return c == channel_ ? 1.0 : -0.5; }

  static View<const float, 5> checked_frames(const Request& request) {
    const auto frames = request.frames_BF3HW();
    if (frames.shape[0] != request.batch() || frames.shape[2] != 3)
      throw std::invalid_argument("frames must be [batch, frames, 3, height, width]");
    if (frames.size() == 0) throw std::invalid_argument("frames has no pixels");
    return frames;
  }

  std::int64_t channel_ = 0;
};

}  // namespace

THALWEG_REWARD_PLUGIN(Color);
