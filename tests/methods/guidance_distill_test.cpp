// Guidance distilled into one call, on models whose guided velocity is a formula.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "engine/core/per_sample.h"
#include "tests/methods/methods.h"

namespace thalweg {
namespace {

Json settings(Json more = Json::object()) {
  Json all = {{"prompts_per_iteration", 12}, {"updates", 1}, {"guidance", {{"scale", 3.0}}}};
  all.update(more, true);
  return all;
}

// v_c = a x + b, v_u = v_c + 0.3, so v_u + s (v_c - v_u) = a x + b - 0.3 (s - 1).
TEST(GuidanceDistill, ComesToTheGuidedVelocity) {
  auto options = options_of("guidance_distill", 12);
  options.iterations = 300;
  options.optimizer.learning_rate = 0.02;
  options.optimizer.schedule = "linear";
  auto parts = SmallTraining::parts(0.0, [](uint64_t) { return false; });
  parts.model = std::make_unique<SmallModel>(0.5, 0.1, 0.3);
  SmallTraining small(std::move(parts), options);
  const auto run = method_named("guidance_distill", settings())->start(small.training);
  const auto first = run->iterate(0);
  EXPECT_NEAR(number(first, "guidance_size"), 0.36, 1e-12);
  EXPECT_NEAR(number(first, "policy_loss"), 0.36, 1e-12);
  EXPECT_NEAR(number(first, "distilled"), 0.0, 1e-12);
  EXPECT_TRUE(std::isnan(number(first, "reward")));
  for (int64_t i = 1; i < options.iterations; ++i) run->iterate(i);
  EXPECT_NEAR(small.training.policy.parameters().at("a").item<double>(), 0.5, 1e-3);
  EXPECT_NEAR(small.training.policy.parameters().at("b").item<double>(), 0.1 - 0.6, 1e-3);
  EXPECT_NEAR(number(run->iterate(0), "distilled"), 1.0, 1e-4);
}

// It is told its scale: v_c = a x + b g, v_u = v_c - b. Told g = 1, guidance at s comes to a x + b s, which
// is the network's own answer when it is told g = s.
class ToldModel final : public SmallModel {
 public:
  bool has_guidance_input() const override { return true; }
  Velocity bind(const TensorMap& p, const Adapter*) const override {
    return [a = p.at("a"), b = p.at("b")](const at::Tensor& x, const Step&, const Conditioning& c) {
      std::vector<double> of_prompt;
      for (const auto& prompt : c.prompts) of_prompt.push_back(prompt.empty() ? 0.0 : 1.0);
      const auto g =
          c.tensors.at("guidance").to(at::kDouble).flatten() - 1.0 + at::tensor(of_prompt, at::kDouble);
      return a * x + b * g.view({-1, 1, 1, 1, 1});
    };
  }
};

TrainingParts told_parts() {
  auto parts = SmallTraining::parts(0.0, [](uint64_t) { return false; });
  parts.model = std::make_unique<ToldModel>();
  parts.prompts.conditioning.tensors["guidance"] = at::ones({3});
  parts.unconditional.tensors["guidance"] = at::ones({1});
  return parts;
}

const Json kRange = {{"guidance", {{"name", "range"}, {"minimum", 1.5}, {"maximum", 6.0}}}};

Json range() {
  auto all = settings();
  all["guidance"] = kRange.at("guidance");
  return all;
}

TEST(GuidanceDistill, ANetworkWithAnInputIsToldEachSamplesScale) {
  SmallTraining small(told_parts(), options_of("guidance_distill"));
  const auto metrics = method_named("guidance_distill", range())->start(small.training)->iterate(0);
  EXPECT_NEAR(number(metrics, "policy_loss"), 0.0, 1e-14);
  // b^2 E (s - 1)^2 over uniform s, 0.01 (5^3 - 0.5^3) / 13.5, up to the twelve that are drawn.
  EXPECT_NEAR(number(metrics, "guidance_size"), 0.0925, 0.05);
}

TEST(GuidanceDistill, ARangeIsRefusedWithoutSuchAnInput) {
  auto parts = told_parts();
  parts.model = std::make_unique<SmallModel>();
  parts.prompts.conditioning.tensors = {{"prompt_embeds", at::zeros({3, 1})}};
  SmallTraining small(std::move(parts), options_of("guidance_distill"));
  EXPECT_ERROR(method_named("guidance_distill", range())->start(small.training), "/method/guidance/name");
  auto options = options_of("guidance_distill");
  options.model.path = THALWEG_SOURCE_DIR "/assets/models/tiny-sd3";
  EXPECT_ERROR(method_named("guidance_distill", range())->check(options), "/method/guidance/name");
  const Scratch scratch;
  std::filesystem::create_directories(scratch / "transformer");
  options.model.path = scratch.folder().string();
  for (const auto& [text, takes] : {std::pair{"{}", false},
                                    {"[]", false},
                                    {R"({"guidance_embeds": 1})", false},
                                    {R"({"guidance_embeds": false})", false},
                                    {R"({"guidance_embeds": true})", true}}) {
    std::ofstream(scratch / "transformer/config.json") << text;
    const auto method = method_named("guidance_distill", range());
    if (takes)
      EXPECT_NO_THROW(method->check(options)) << text;
    else
      EXPECT_ERROR(method->check(options), "/method/guidance/name");
  }
}

TEST(GuidanceDistill, RefusesWhatIsNoGuidance) {
  const auto options = options_of("guidance_distill");
  const auto refused = [&](const Json& more, const std::string& pointer) {
    EXPECT_ERROR(method_named("guidance_distill", settings(more))->check(options), pointer);
  };
  refused({{"guidance", {{"scale", 1.0}}}}, "/method/guidance/scale");
  auto empty = range();
  empty["guidance"]["minimum"] = 6.0;
  EXPECT_ERROR(method_named("guidance_distill", empty)->check(options), "/method/guidance/minimum");
  auto guided = options;
  guided.sampler.guidance_scale = 2.0;
  EXPECT_ERROR(method_named("guidance_distill", settings())->check(guided), "/sampler/guidance_scale");
  refused({{"noise_levels", {{"name", "schedule"}}}, {"times_per_sample", 5}}, "/method/times_per_sample");
}

// Passes are further optimizer steps, at levels of their own.
TEST(GuidanceDistill, PassesOverWhatIsDrawnOnce) {
  SmallTraining small(
      0.0, [](uint64_t) { return false; }, options_of("guidance_distill"));
  const auto run =
      method_named("guidance_distill", settings({{"updates", 2}, {"passes", 3}}))->start(small.training);
  run->iterate(0);
  EXPECT_EQ(small.training.policy.steps(), 6);
  std::set<double> levels;
  size_t asked = 0;
  for (const auto& sigmas : dynamic_cast<const SmallModel&>(*small.training.model).trained_sigmas)
    for (const double sigma : sigmas) {
      levels.insert(sigma);
      ++asked;
      EXPECT_GT(sigma, 0.0);
      EXPECT_LE(sigma, 1.0);
    }
  EXPECT_EQ(asked, levels.size());
}

}  // namespace
}  // namespace thalweg
