// Rewards whose effect on a Gaussian mixture is known in closed form. One library, two rewards: of frames,
// and of latents at any noise level, which is what a process reward looks at.
#include <thalweg/cpp/reward.hpp>

#include "functions.h"

namespace {

using thalweg::plugin::Activation;
using thalweg::plugin::Request;
using thalweg::plugin::View;

constexpr const char* kDimensions[] = {"linear"};  // of the default configuration

/// `Input` is THALWEG_INPUT_FRAMES or THALWEG_INPUT_LATENTS.
template <uint64_t Input>
class Analytic final : public thalweg::plugin::DifferentiableReward {
 public:
  static thalweg_reward_descriptor describe() {
    auto d = thalweg::plugin::describe_reward(
        kNoisy ? "org.thalweg.analytic.latents" : "org.thalweg.analytic",
        kNoisy ? "Analytic, of latents" : "Analytic", "Thalweg", "0.1.0",
        "Of the elements x of a sample: scale * mean(x) (linear), scale where mean(x) is above threshold "
        "(indicator), -scale * mean((x - center)^2) (quadratic); of latents also log E[e^{scale mean(x_0)} | "
        "x_t] "
        "for a Gaussian mixture (soft_linear). Configuration: {\"kind\": \"linear\" | \"indicator\" | "
        "\"quadratic\" | \"soft_linear\", \"scale\": 1, \"threshold\": 0, \"center\": 0, \"weights\", "
        "\"means\", "
        "\"stds\", \"hide_gradient\": false}.");
    d.required_inputs = Input;
    d.num_dimensions = 1;
    d.dimension_names = kDimensions;
    return d;
  }

  void configure(std::string_view config_json, const Activation&) override {
    auto config = nlohmann::json::parse(config_json);
    if (!config.is_object()) throw std::invalid_argument("the configuration must be a JSON object");
    const auto hide = config.value("hide_gradient", nlohmann::json(false));
    if (!hide.is_boolean()) throw std::invalid_argument("/hide_gradient: must be true or false");
    config.erase("hide_gradient");
    dimension_ = config.contains("kind") && config["kind"].is_string() ? config["kind"] : "linear";
    function_ = analytic::make_function(config, kNoisy);
    if (!config.empty())
      throw std::invalid_argument("/" + config.begin().key() + ": is no key of the kind \"" + dimension_ +
                                  "\"");
    differentiable_ = !hide.get<bool>() && function_->has_gradient();
  }

  std::vector<std::string> dimensions() const override { return {dimension_}; }

  void score(const Request& request, View<float, 2> values_BK) override {
    const auto x = checked(request);
    for (std::int64_t b = 0; b < x.shape[0]; ++b)
      values_BK(b, 0) = static_cast<float>(function_->value(&x(b), x.size() / x.shape[0], level(request, b)));
  }

  std::uint64_t gradient_inputs() const override { return differentiable_ ? Input : 0; }

  void vjp(const Request& request, std::uint64_t, View<const float, 2> cotangent_BK,
           View<float, 5> gradient) override {
    const auto x = checked(request);
    if (gradient.shape != x.shape) throw std::invalid_argument("the gradient has not the input's shape");
    for (std::int64_t b = 0; b < x.shape[0]; ++b)
      function_->vjp(&x(b), x.size() / x.shape[0], level(request, b), cotangent_BK(b, 0), &gradient(b));
  }

 private:
  static constexpr bool kNoisy = Input == THALWEG_INPUT_LATENTS;

  static double level(const Request& request, std::int64_t b) {
    return kNoisy ? static_cast<double>(request.sigmas_B()(b)) : 0.0;
  }

  static View<const float, 5> checked(const Request& request) {
    const auto x = kNoisy ? request.latents_BCFHW() : request.frames_BF3HW();
    if (x.shape[0] != request.batch()) throw std::invalid_argument("the input has not the batch's size");
    if (x.size() == 0) throw std::invalid_argument("the input has no elements");
    return x;
  }

  std::unique_ptr<analytic::Function> function_;
  std::string dimension_;
  bool differentiable_ = false;
};

}  // namespace

THALWEG_REWARD_PLUGIN(Analytic<THALWEG_INPUT_FRAMES>, Analytic<THALWEG_INPUT_LATENTS>);
