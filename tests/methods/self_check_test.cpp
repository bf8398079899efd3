// What the self-check says of methods at work, healthy and not.
#include "pipelines/training/self_check.h"

#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "tests/io/scratch.h"
#include "tests/methods/methods.h"

namespace thalweg {
namespace {

constexpr int64_t kGroups = 3, kSize = 4;

// Parameters that do not reach the picture, as of a LoRA on layers that it passes by.
class DeafModel final : public FlowModel {
 public:
  at::ScalarType latent_dtype() const override { return small_.latent_dtype(); }
  LatentShape latent_shape(int64_t f, int64_t h, int64_t w) const override {
    return small_.latent_shape(f, h, w);
  }
  Conditioning encode(const std::vector<std::string>& prompts) const override {
    return small_.encode(prompts);
  }
  Schedule schedule(int64_t steps, int64_t h, int64_t w) const override {
    return small_.schedule(steps, h, w);
  }
  Velocity bind(const TensorMap& p, const Adapter*) const override {
    return [a = p.at("a"), b = p.at("b")](const at::Tensor& x, const Step&, const Conditioning&) {
      return 0.5 * x + 0.1 + 0.0 * (a + b);
    };
  }
  const std::vector<ParameterSpec>& specs() const override { return small_.specs(); }
  const TensorMap& backbone() const override { return small_.backbone(); }
  TensorMap master_backbone() const override { return small_.master_backbone(); }
  std::vector<std::string> default_lora_targets() const override { return {}; }
  LoraNames lora_names() const override { return {}; }
  std::string architecture() const override { return "small"; }
  std::vector<std::filesystem::path> backbone_files() const override { return {}; }
  at::Tensor decode(const at::Tensor& latents) const override { return small_.decode(latents); }
  void save(const std::filesystem::path&, const TensorMap&, at::ScalarType) const override {}

 private:
  SmallModel small_;
};

class SelfCheckOf : public ::testing::TestWithParam<std::string> {
 protected:
  static TrainingParts parts(const std::function<bool(uint64_t)>& fails = [](uint64_t) { return false; }) {
    return SmallTraining::parts(0.5, fails);
  }
  Event check(TrainingParts given) const { return check(std::move(given), options_of(GetParam())); }
  Event check(TrainingParts given, const TrainingOptions& options) const {
    const Observer observer;
    Workers workers(1);
    Training training(options, observer, workers, std::move(given));
    const auto method = method_named(GetParam(), settings_of(GetParam(), 1));
    const auto run = method->start(training);
    std::vector<Json> rows;
    for (int64_t i = 0; i < kSelfCheckAt + method->waits(); ++i) {
      Json row = {{"step", i + 1}, {"kind", "train"}};
      for (const auto& [name, value] : run->iterate(i)) row[name] = value;
      rows.push_back(parse_json(row.dump(), "row"));  // as it is read back
    }
    return self_check(rows, {.samples = kGroups * kSize,
                             .updates = 1,
                             .learning_rate = options.optimizer.learning_rate,
                             .clip_range = method->clip_range().value_or(0.0)});
  }
};

TEST_P(SelfCheckOf, ARunThatLearns) {
  const auto event = check(parts());
  EXPECT_EQ(event.level, "info") << event.message;
  const auto& spread = event.data.at("groups_with_spread");
  if (settings_of(GetParam()).contains("group_size"))
    EXPECT_EQ(spread, 1.0);
  else
    EXPECT_TRUE(spread.is_null());
  EXPECT_GT(event.data.at("grad_norm").get<double>(), 0.0);
  EXPECT_EQ(event.data.at("masked_share"), 0.0);
  const auto& gap = event.data.at("log_prob_gap");
  EXPECT_TRUE(gap.is_null() || gap.get<double>() < 1e-9);
}

TEST_P(SelfCheckOf, ARewardWithoutASpread) {
  auto flat = parts();
  flat.rewards = flat_rewards;
  const auto event = check(std::move(flat));
  if (event.data.at("groups_with_spread").is_null()) GTEST_SKIP() << "compares no samples of a group";
  EXPECT_EQ(event.data.at("can_learn"), false);
  EXPECT_NE(event.message.find("in no group do the rewards differ"), std::string::npos) << event.message;
  EXPECT_NE(event.message.find("/method/group_size"), std::string::npos);
}

TEST_P(SelfCheckOf, ParametersThatReachNothing) {
  auto deaf = parts();
  deaf.model = std::make_unique<DeafModel>();
  const auto event = check(std::move(deaf));
  EXPECT_EQ(event.data.at("can_learn"), false);
  EXPECT_NE(event.message.find("the gradient is 0"), std::string::npos) << event.message;
  EXPECT_NE(event.message.find("/model/lora/targets"), std::string::npos);
}

TEST_P(SelfCheckOf, OneScoredSampleAGroup) {
  const auto event = check(parts([](uint64_t number) { return number % kSize != 0; }));
  EXPECT_EQ(event.data.at("masked_share"), 0.75);
  // Methods that compare samples of a group made no update; those that weigh samples one by one did.
  const bool updated = !event.data.at("grad_norm").is_null();
  EXPECT_EQ(event.data.at("can_learn"), updated);
  EXPECT_NE(event.message.find(updated ? "half of the samples or more" : "no update was made"),
            std::string::npos)
      << event.message;
  EXPECT_NE(event.message.find("/rewards"), std::string::npos);
}

TEST_P(SelfCheckOf, NothingScoredIsAnErrorBefore) {
  auto given = parts();
  given.rewards = [] {
    RewardSpec spec;
    spec.plugin = "small";
    spec.dimensions = {{"bright", 0.0}, {"dark", 1.0}};
    std::vector<RewardMember> members;
    members.push_back({spec, std::make_shared<SmallReward>([](uint64_t) { return true; })});
    return std::make_unique<RewardSet>(std::move(members));
  };
  EXPECT_ERROR(check(std::move(given)), "/rewards");
}

TEST_P(SelfCheckOf, NoRate) {
  auto options = options_of(GetParam());
  options.optimizer.learning_rate = 0.0;
  const auto event = check(parts(), options);
  EXPECT_EQ(event.data.at("can_learn"), false);
  EXPECT_NE(event.message.find("/optimizer/learning_rate"), std::string::npos) << event.message;
}

std::vector<std::string> names() {
  std::vector<std::string> all;
  for (const auto& row : method_table())
    if (has_key(row.name, "group_size")) all.emplace_back(row.name);  // the others score no samples
  return all;
}

INSTANTIATE_TEST_SUITE_P(Methods, SelfCheckOf, ::testing::ValuesIn(names()));

}  // namespace
}  // namespace thalweg
