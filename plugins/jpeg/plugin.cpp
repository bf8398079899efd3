// How well a picture compresses: its size as a JPEG file in kB (1000 bytes), of a video the mean over frames.
// Compressibility is the negative size, as DDPO defines the pair (Black et al. 2023, arXiv 2305.13301).
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "encoder.h"
#include "thalweg/cpp/reward.hpp"

namespace {

using thalweg::plugin::Activation;
using thalweg::plugin::Request;
using thalweg::plugin::View;

constexpr const char* kDimensions[] = {"compressibility"};  // of the default configuration
constexpr double kBytesPerUnit = 1000.0;

struct NamedSubsampling {
  const char* name;
  jpeg::Subsampling factors;
};
constexpr NamedSubsampling kSubsamplings[] = {{"4:4:4", {1, 1}}, {"4:2:2", {2, 1}}, {"4:2:0", {2, 2}}};

class JpegSize final : public thalweg::plugin::Reward {
 public:
  static thalweg_reward_descriptor describe() {
    auto d = thalweg::plugin::describe_reward(
        "org.thalweg.jpeg", "JPEG size", "Thalweg", "0.1.0",
        "Size of the picture as a JPEG file in kB, negative for compressibility. Configuration: "
        "{\"measure\": "
        "\"compressibility\" | \"incompressibility\", \"quality\": 1 to 100, "
        "\"subsampling\": \"4:4:4\" | \"4:2:2\" | \"4:2:0\"}.");
    d.paper_url = "https://arxiv.org/abs/2305.13301";
    d.num_dimensions = 1;
    d.dimension_names = kDimensions;
    return d;
  }

  void configure(std::string_view config_json, const Activation&) override {
    const auto config = nlohmann::json::parse(config_json);
    if (!config.is_object()) throw std::invalid_argument("the configuration must be a JSON object");
    for (const auto& [key, value] : config.items()) {
      if (key == "measure") {
        if (value != "compressibility" && value != "incompressibility")
          throw std::invalid_argument("/measure: must be \"compressibility\" or \"incompressibility\"");
        measure_ = value.get<std::string>();
      } else if (key == "quality") {
        if (!value.is_number_integer() || value < 1 || value > 100)
          throw std::invalid_argument("/quality: must be a whole number from 1 to 100");
        quality_ = value.get<int>();
      } else if (key == "subsampling") {
        subsampling_ = subsampling_of(value);
      } else {
        throw std::invalid_argument("/" + key + ": unknown key; known: measure, quality, subsampling");
      }
    }
  }

  std::vector<std::string> dimensions() const override { return {measure_}; }

  void score(const Request& request, View<float, 2> values_BK) override {
    const auto frames = request.frames_BF3HW();
    if (frames.shape[0] != request.batch() || frames.shape[2] != 3 || frames.size() == 0)
      throw std::invalid_argument("frames must be [batch, frames, 3, height, width] and hold pixels");
    const double sign = measure_ == "compressibility" ? -1.0 : 1.0;
    for (std::int64_t b = 0; b < frames.shape[0]; ++b) {
      double bytes = 0;
      for (std::int64_t f = 0; f < frames.shape[1]; ++f) bytes += frame_bytes(frames, b, f);
      values_BK(b, 0) =
          static_cast<float>(sign * bytes / (kBytesPerUnit * static_cast<double>(frames.shape[1])));
    }
  }

 private:
  static jpeg::Subsampling subsampling_of(const nlohmann::json& value) {
    const auto* known = std::find_if(std::begin(kSubsamplings), std::end(kSubsamplings),
                                     [&](const NamedSubsampling& s) { return value == s.name; });
    if (known == std::end(kSubsamplings))
      throw std::invalid_argument(R"(/subsampling: must be "4:4:4", "4:2:2" or "4:2:0")");
    return known->factors;
  }

  /// NaN when a pixel is no finite number.
  double frame_bytes(const View<const float, 5>& frames, std::int64_t b, std::int64_t f) {
    const std::int64_t height = frames.shape[3], width = frames.shape[4], pixels = height * width;
    rgb_.resize(static_cast<std::size_t>(3 * pixels));
    for (std::int64_t c = 0; c < 3; ++c) {
      const float* plane = &frames(b, f, c);
      for (std::int64_t i = 0; i < pixels; ++i) {
        if (!std::isfinite(plane[i])) return std::nan("");
        // To the nearest of 256 levels, ties to even, as torch.round does for the peers.
        const float level = std::nearbyint(std::clamp(plane[i] * 255.0f, 0.0f, 255.0f));
        rgb_[static_cast<std::size_t>(3 * i + c)] = static_cast<unsigned char>(level);
      }
    }
    return static_cast<double>(jpeg::encoded_size(rgb_, width, height, quality_, subsampling_));
  }

  std::string measure_ = kDimensions[0];
  int quality_ = 95;
  jpeg::Subsampling subsampling_{2, 2};
  std::vector<unsigned char> rgb_;  // one frame, kept from call to call
};

}  // namespace

THALWEG_REWARD_PLUGIN(JpegSize);
