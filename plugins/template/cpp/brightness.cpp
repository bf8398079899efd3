// brightness: how bright a picture is, 0 = black to 1 = white. Change score(), and vjp() with it.
#include <algorithm>
#include <thalweg/cpp/reward.hpp>

namespace {

using thalweg::plugin::Activation;
using thalweg::plugin::Request;
using thalweg::plugin::View;

constexpr const char* kDimensions[] = {"brightness"};

class Mine final : public thalweg::plugin::DifferentiableReward {  // or Reward, without a gradient
 public:
  static thalweg_reward_descriptor describe() {
    auto d = thalweg::plugin::describe_reward("org.example.brightness",  // your reverse domain, then a name
                                              "brightness", "Example", "0.1.0",
                                              "Mean of all pixels and channels, 0 to 1");
    d.num_dimensions = 1;
    d.dimension_names = kDimensions;
    return d;
  }

  // There is nothing to configure, so a key in the job is a mistake that its author should hear of, at its
  // place.
  void configure(std::string_view config_json, const Activation&) override {
    const auto begin = config_json.find('"');
    if (begin == std::string_view::npos) return;
    const auto key = config_json.substr(begin + 1, config_json.find('"', begin + 1) - begin - 1);
    throw std::invalid_argument("/" + std::string(key) + ": unknown key; brightness has no configuration");
  }

  std::vector<std::string> dimensions() const override { return {kDimensions[0]}; }

  void score(const Request& request, View<float, 2> values_BK) override {
    const auto frames = checked_frames(request);
    const std::int64_t B = frames.shape[0], pixels = frames.size() / B;
    for (std::int64_t b = 0; b < B; ++b) {
      double sum = 0;
      for (std::int64_t i = 0; i < pixels; ++i) sum += frames.data[b * pixels + i];
      values_BK(b, 0) = static_cast<float>(sum / static_cast<double>(pixels));
    }
  }

  std::uint64_t gradient_inputs() const override { return THALWEG_INPUT_FRAMES; }

  void vjp(const Request& request, std::uint64_t, View<const float, 2> cotangent_BK,
           View<float, 5> gradient) override {
    const auto frames = checked_frames(request);
    const std::int64_t B = frames.shape[0], pixels = frames.size() / B;
    for (std::int64_t b = 0; b < B; ++b)
      std::fill_n(gradient.data + b * pixels, pixels, cotangent_BK(b, 0) / static_cast<float>(pixels));
  }

 private:
  static View<const float, 5> checked_frames(const Request& request) {
    const auto frames = request.frames_BF3HW();
    if (frames.shape[0] != request.batch() || frames.size() == 0)
      throw std::invalid_argument("frames must be [batch, frames, 3, height, width], none of them 0");
    return frames;
  }
};

}  // namespace

THALWEG_REWARD_PLUGIN(Mine);
