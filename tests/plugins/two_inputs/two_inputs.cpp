// A good reward that sees frames and latents, and has a gradient of both: 0.7 mean(frames) + 0.5
// mean(latents).
// {"mute": "frames" | "latents"}: it gives none of that input.
#include <thalweg/cpp/reward.hpp>

namespace {

using namespace thalweg::plugin;

double mean_of(const View<const float, 5>& x, std::int64_t b) {
  const auto n = x.size() / x.shape[0];
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += static_cast<double>((&x(b))[i]);
  return sum / static_cast<double>(n);
}

class TwoInputs final : public DifferentiableReward {
 public:
  static thalweg_reward_descriptor describe() {
    auto d = describe_reward("org.thalweg.test.two-inputs", "Two inputs", "Thalweg", "0.1.0", "For tests");
    d.required_inputs = THALWEG_INPUT_FRAMES | THALWEG_INPUT_LATENTS;
    return d;
  }

  void configure(std::string_view json, const Activation&) override {
    const auto has = [&](const char* word) { return json.find(word) != std::string_view::npos; };
    if (json.size() > 2 && !has("\"mute\""))
      throw std::invalid_argument("/" + std::string(json.substr(2, json.find('"', 2) - 2)) + ": unknown key");
    muted_ = has("\"frames\"") ? THALWEG_INPUT_FRAMES : has("\"latents\"") ? THALWEG_INPUT_LATENTS : 0;
  }
  std::vector<std::string> dimensions() const override { return {"means"}; }

  void score(const Request& request, View<float, 2> out) override {
    for (std::int64_t b = 0; b < request.batch(); ++b)
      out(b, 0) = static_cast<float>(0.7 * mean_of(request.frames_BF3HW(), b) +
                                     0.5 * mean_of(request.latents_BCFHW(), b));
  }

  std::uint64_t gradient_inputs() const override { return THALWEG_INPUT_FRAMES | THALWEG_INPUT_LATENTS; }

  void vjp(const Request& request, std::uint64_t input, View<const float, 2> cotangent,
           View<float, 5> gradient) override {
    if (input == muted_) throw Failure(THALWEG_UNAVAILABLE, "this half is muted");
    const auto n = gradient.size() / gradient.shape[0];
    const double slope = (input == THALWEG_INPUT_FRAMES ? 0.7 : 0.5) / static_cast<double>(n);
    for (std::int64_t b = 0; b < request.batch(); ++b)
      for (std::int64_t i = 0; i < n; ++i)
        (&gradient(b))[i] = static_cast<float>(slope * static_cast<double>(cotangent(b, 0)));
  }

 private:
  std::uint64_t muted_ = 0;
};

}  // namespace

THALWEG_REWARD_PLUGIN(TwoInputs);
