// Rewards whose effect on a Gaussian mixture is known in closed form: functions of the elements of a sample
// alone. One library, two rewards: of the frames, and of the latents (then at any noise level, so that it can
// be asked as a process reward).
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <thalweg/cpp/reward.hpp>

namespace {

using thalweg::plugin::Activation;
using thalweg::plugin::Request;
using thalweg::plugin::View;

constexpr std::array<const char*, 3> kKinds = {"linear", "indicator", "quadratic"};
constexpr const char* kDimensions[] = {"linear"};  // of the default configuration

struct Options {
  std::string kind = "linear";
  double scale = 1.0;
  double center = 0.0;     // quadratic
  double threshold = 0.0;  // indicator
  bool hide_gradient = false;
};

double number(const nlohmann::json& value, const std::string& key) {
  if (!value.is_number() || std::abs(value.get<double>()) > 1e6)
    throw std::invalid_argument("/" + key + ": must be a number from -1e6 to 1e6");
  return value.get<double>();
}

Options parse(std::string_view config_json) {
  const auto config = nlohmann::json::parse(config_json);
  if (!config.is_object()) throw std::invalid_argument("the configuration must be a JSON object");
  Options o;
  if (const auto kind = config.find("kind"); kind != config.end()) {
    if (std::find(kKinds.begin(), kKinds.end(), *kind) == kKinds.end())
      throw std::invalid_argument("/kind: must be \"linear\", \"indicator\" or \"quadratic\"");
    o.kind = kind->get<std::string>();
  }
  for (const auto& [key, value] : config.items()) {
    if (key == "kind") continue;
    if (key == "hide_gradient") {
      if (!value.is_boolean()) throw std::invalid_argument("/hide_gradient: must be true or false");
      o.hide_gradient = value.get<bool>();
    } else if (key == "scale") {
      o.scale = number(value, key);
    } else if (key == "center" && o.kind == "quadratic") {
      o.center = number(value, key);
    } else if (key == "threshold" && o.kind == "indicator") {
      o.threshold = number(value, key);
    } else {
      throw std::invalid_argument("/" + key +
                                  ": unknown key; known: kind, scale, hide_gradient, center (quadratic), "
                                  "threshold (indicator)");
    }
  }
  return o;
}

/// `Input` is THALWEG_INPUT_FRAMES or THALWEG_INPUT_LATENTS.
template <uint64_t Input>
class Analytic final : public thalweg::plugin::DifferentiableReward {
 public:
  static thalweg_reward_descriptor describe() {
    constexpr bool of_frames = Input == THALWEG_INPUT_FRAMES;
    auto d = thalweg::plugin::describe_reward(
        of_frames ? "org.thalweg.analytic" : "org.thalweg.analytic.latents",
        of_frames ? "Analytic" : "Analytic, of latents", "Thalweg", "0.1.0",
        "Of the mean m of a sample's elements x: scale * m (linear), scale where m is above threshold and 0 "
        "elsewhere (indicator), or -scale * mean (x - center)^2 (quadratic). Their effect on a Gaussian "
        "mixture is known in closed form. Configuration: {\"kind\": \"linear\" | \"indicator\" | "
        "\"quadratic\", "
        "\"scale\": 1, \"center\": 0, \"threshold\": 0, \"hide_gradient\": false}.");
    d.required_inputs = Input;
    d.num_dimensions = 1;
    d.dimension_names = kDimensions;
    return d;
  }

  void configure(std::string_view config_json, const Activation&) override { o_ = parse(config_json); }

  std::vector<std::string> dimensions() const override { return {o_.kind}; }

  void score(const Request& request, View<float, 2> values_BK) override {
    const auto x = checked(request);
    const std::int64_t elements = x.size() / x.shape[0];
    for (std::int64_t b = 0; b < x.shape[0]; ++b) {
      double sum = 0.0;
      for (const float* at = &x(b); at != &x(b) + elements; ++at)
        sum += o_.kind == "quadratic" ? (*at - o_.center) * (*at - o_.center) : *at;
      values_BK(b, 0) = static_cast<float>(value(sum / static_cast<double>(elements)));
    }
  }

  std::uint64_t gradient_inputs() const override {
    return o_.hide_gradient || o_.kind == "indicator" ? 0 : Input;
  }

  void vjp(const Request& request, std::uint64_t, View<const float, 2> cotangent_BK,
           View<float, 5> gradient) override {
    const auto x = checked(request);
    if (gradient.shape != x.shape) throw std::invalid_argument("the gradient has not the input's shape");
    const std::int64_t elements = x.size() / x.shape[0];
    for (std::int64_t b = 0; b < x.shape[0]; ++b) {
      const double scale = o_.scale * cotangent_BK(b, 0) / static_cast<double>(elements);
      const float* from = &x(b);
      float* to = &gradient(b);
      if (o_.kind == "linear")
        std::fill_n(to, elements, static_cast<float>(scale));
      else
        std::transform(from, from + elements, to, [&](float element) {
          return static_cast<float>(-2.0 * scale * (element - o_.center));
        });
    }
  }

 private:
  // From the mean, of squares where the reward is quadratic. A NaN among the elements stays NaN, and so the
  // sample stays unscored.
  double value(double mean) const {
    if (std::isnan(mean)) return std::numeric_limits<double>::quiet_NaN();
    if (o_.kind == "indicator") return mean > o_.threshold ? o_.scale : 0.0;
    return o_.kind == "quadratic" ? -o_.scale * mean : o_.scale * mean;
  }

  static View<const float, 5> checked(const Request& request) {
    const auto x = Input == THALWEG_INPUT_FRAMES ? request.frames_BF3HW() : request.latents_BCFHW();
    if (x.shape[0] != request.batch()) throw std::invalid_argument("the input has not the batch's size");
    if (x.size() == 0) throw std::invalid_argument("the input has no elements");
    return x;
  }

  Options o_;
};

}  // namespace

THALWEG_REWARD_PLUGIN(Analytic<THALWEG_INPUT_FRAMES>, Analytic<THALWEG_INPUT_LATENTS>);
