// The rollout stage over a model that needs no files: rows keep their order and their numbers however they
// are cut into micro-batches and whichever worker draws them.
#include "pipelines/stages/rollout.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <limits>
#include <set>

#include "engine/core/error.h"
#include "samplers/kernels/flow_sde.h"
#include "samplers/transitions.h"
#include "tests/rewards/fake_reward.h"
#include "tests/samplers/analytic.h"

namespace thalweg {
namespace {

class AnalyticModel final : public FlowModel {
 public:
  LatentShape latent_shape(int64_t height, int64_t width, int64_t) const override {
    return {2, 1, height, width};
  }
  Conditioning encode(const std::vector<std::string>& prompts) const override {
    Conditioning c;
    std::vector<at::Tensor> rows;
    for (const auto& prompt : prompts) {
      c.prompts.push_back(prompt);
      rows.push_back(normal_noise(11, Purpose::data, {std::stoll(prompt)}, 1, {2}));
    }
    c.tensors["c"] = at::cat(rows);
    return c;
  }
  Schedule schedule(int64_t steps, int64_t, int64_t) const override {
    Schedule s;
    for (int64_t i = 0; i <= steps; ++i)
      s.sigmas.push_back(1.0 - static_cast<double>(i) / static_cast<double>(steps));
    return s;
  }
  Velocity bind(const TensorMap&, const Adapter*) const override { return analytic_velocity; }
  const std::vector<ParameterSpec>& specs() const override { return specs_; }
  const TensorMap& backbone() const override { return none_; }
  TensorMap master_backbone() const override { return {}; }
  std::vector<std::string> default_lora_targets() const override { return {}; }
  LoraNames lora_names() const override { return {}; }
  std::string architecture() const override { return "analytic"; }
  std::vector<std::filesystem::path> backbone_files() const override { return {}; }
  at::Tensor decode(const at::Tensor& latents) const override {
    return latents.slice(1, 0, 1).permute({0, 2, 1, 3, 4}).expand({-1, -1, 3, -1, -1}).sigmoid();
  }
  void save(const std::filesystem::path&, const TensorMap&, at::ScalarType) const override {}

 private:
  std::vector<ParameterSpec> specs_;
  TensorMap none_;
};

at::Tensor latents_of(const std::vector<MicroBatch>& batches) {
  std::vector<at::Tensor> parts;
  for (const auto& batch : batches) parts.push_back(batch.trajectory.x0_BCFHW);
  return at::cat(parts);
}

class Rollout : public ::testing::Test {
 protected:
  std::vector<MicroBatch> drawn(int64_t workers, int64_t micro_batch, int64_t keep_frames = 0,
                                at::Tensor start = {}) {
    Workers pool(workers);
    PhaseClock clock;
    RolloutInput input{.model = model_,
                       .prompts = prompts_,
                       .rows = rows_,
                       .shape = model_.latent_shape(3, 3, 1),
                       .schedule = model_.schedule(4, 1, 1),
                       .velocity = analytic_velocity,
                       .sampler =
                           [this](const SamplerInput& in) {
                             began_();
                             return sample_transitions(in, flow_sde(0.7), {0, 1});
                           },
                       .seed = 6,
                       .noise = Purpose::initial_noise,
                       .initial_noise_NCFHW = start,
                       .rewards = rewards_.get(),
                       .micro_batch = micro_batch,
                       .keep_frames = keep_frames,
                       .workers = pool,
                       .clock = clock,
                       .progress = [this](int64_t done) { progress_.push_back(done); }};
    return rollout(input);
  }

  // Of one reward, the mean of the pictures and of their squares.
  std::shared_ptr<testing::FakeReward> reward(bool elsewhere, int64_t least_of_group = 0) {
    auto reward = std::make_shared<testing::FakeReward>("fake");
    reward->about.elsewhere = elsewhere;
    reward->about.least_of_group = least_of_group;
    std::vector<RewardMember> members = {testing::member_of(reward)};
    rewards_ = std::make_unique<RewardSet>(std::move(members));
    return reward;
  }

  std::unique_ptr<RewardSet> rewards_;
  std::function<void()> began_ = [] {};  // a micro-batch
  AnalyticModel model_;
  const Observer observer_;
  Workers encoding_{2};
  const PromptSet prompts_ =
      PromptEncoder(model_, {}, encoding_, observer_).encode({{"5", "7", "9"}, {"{}", "{}", "{}"}});
  const std::vector<SampleRow> rows_ = {{2, 0, 40}, {2, 0, 41}, {2, 0, 42}, {0, 1, 43},
                                        {0, 1, 44}, {1, 2, 45}, {1, 2, 46}};
  std::vector<int64_t> progress_;
};

TEST_F(Rollout, SameLatentsHoweverTheBatchIsCut) {
  const auto whole = drawn(1, 7);
  ASSERT_EQ(whole.size(), 1u);
  const auto expected = latents_of(whole);
  EXPECT_EQ(expected.sizes(), at::IntArrayRef({7, 2, 1, 3, 3}));
  for (const int64_t workers : {1, 2, 3})
    for (const int64_t micro_batch : {1, 2, 3, 16}) {
      const auto batches = drawn(workers, micro_batch);
      EXPECT_EQ(batches.size(), static_cast<size_t>((7 + micro_batch - 1) / micro_batch));
      EXPECT_TRUE(at::allclose(latents_of(batches), expected, 0.0, 1e-6))
          << workers << " workers of " << micro_batch;
      std::vector<at::Tensor> log_probs;
      for (const auto& batch : batches) log_probs.push_back(batch.trajectory.log_probs_TB);
      EXPECT_TRUE(at::allclose(at::cat(log_probs, 1), whole[0].trajectory.log_probs_TB, 0.0, 1e-5));
    }
}

TEST_F(Rollout, WorkersDoNotChangeABit) {
  const auto one = latents_of(drawn(1, 2));
  for (const int64_t workers : {2, 3}) EXPECT_TRUE(at::equal(latents_of(drawn(workers, 2)), one));
}

TEST_F(Rollout, RowsKeepTheirOrderPromptAndNoise) {
  const auto batches = drawn(2, 3);
  size_t row = 0;
  for (const auto& batch : batches)
    for (size_t b = 0; b < batch.rows.size(); ++b, ++row) {
      EXPECT_EQ(batch.rows[b].slot, rows_[row].slot);
      EXPECT_EQ(batch.conditioning.prompts[b], prompts_.list.prompts[static_cast<size_t>(rows_[row].prompt)]);
      const auto noise = normal_noise(6, Purpose::initial_noise, {rows_[row].slot}, 0, {2, 1, 3, 3});
      EXPECT_TRUE(at::equal(batch.trajectory.latents[0][static_cast<int64_t>(b)], noise[0]));
    }
  EXPECT_EQ(row, rows_.size());
}

TEST_F(Rollout, TakesNoiseThatIsGiven) {
  const auto start = normal_noise(77, Purpose::data, {0, 1, 2, 3, 4, 5, 6}, 0, {2, 1, 3, 3});
  const auto batches = drawn(2, 3, 0, start);
  EXPECT_TRUE(at::equal(batches[1].trajectory.latents[0], start.slice(0, 3, 6)));
  EXPECT_TRUE(at::equal(batches[2].trajectory.latents[0], start.slice(0, 6, 7)));
}

TEST_F(Rollout, KeepsTheFirstFrames) {
  const auto batches = drawn(2, 3, 4);
  const auto frames = frames_of(batches);
  ASSERT_EQ(frames.sizes(), at::IntArrayRef({4, 1, 3, 3, 3}));
  EXPECT_TRUE(at::allclose(frames, model_.decode(latents_of(batches)).slice(0, 0, 4), 0.0, 1e-6));
  EXPECT_FALSE(batches[2].frames_BF3HW.defined());
  EXPECT_FALSE(frames_of(drawn(1, 3)).defined());
}

TEST_F(Rollout, CountsProgress) {
  drawn(3, 2);
  EXPECT_EQ(progress_.size(), 4u);
  EXPECT_TRUE(std::is_sorted(progress_.begin(), progress_.end()));
  EXPECT_EQ(progress_.back(), 7);
}

TEST_F(Rollout, CountsWhatIsNotFinite) {
  auto start = normal_noise(77, Purpose::data, {0, 1, 2, 3, 4, 5, 6}, 0, {2, 1, 3, 3});
  EXPECT_EQ(not_finite(drawn(2, 3, 0, start)), 0);
  start[1][0][0][0][0] = std::numeric_limits<double>::quiet_NaN();
  start[6].fill_(std::numeric_limits<double>::infinity());
  const auto batches = drawn(2, 3, 0, start);
  EXPECT_EQ(not_finite(batches), 2);
  EXPECT_EQ(batches[0].not_finite, 1);
}

TEST_F(Rollout, ScoresAreThoseOfTheirSamplesWhoeverWaitsForThem) {
  reward(false);
  const auto expected = rewards_of(drawn(1, 2, 3));
  ASSERT_EQ(expected.batch(), 7);
  for (const bool elsewhere : {false, true})
    for (const int64_t workers : {1, 2, 3}) {
      reward(elsewhere);
      progress_.clear();
      const auto batches = drawn(workers, 2, 3);
      EXPECT_TRUE(at::equal(rewards_of(batches).values_BK, expected.values_BK)) << elsewhere << workers;
      EXPECT_EQ(frames_of(batches).size(0), 3);
      EXPECT_EQ(pictures_of(batches).values_BS.size(0), 7);
      EXPECT_EQ(progress_, (std::vector<int64_t>{progress_[0], progress_[1], progress_[2], 7}));
    }
}

// One worker: the first score comes once the second micro-batch is being drawn.
TEST_F(Rollout, DrawsWhileARewardIsComputedElsewhere) {
  std::promise<void> drawing;
  std::atomic<int> begun{0}, scored{0};
  began_ = [&] {
    if (++begun == 2) drawing.set_value();
  };
  auto seen = drawing.get_future().share();
  auto slow = reward(true);
  slow->scores = [&, seen](const ScoreInput& input) {
    const bool beside = seen.wait_for(std::chrono::seconds(60)) == std::future_status::ready;
    ++scored;
    return Scored{at::full({input.batch(), 2}, beside ? 1.0 : 0.0), {}};
  };
  EXPECT_TRUE(rewards_of(drawn(1, 2)).values_BK.eq(1.0).all().item<bool>());
  EXPECT_EQ(scored, 4);
}

// Groups of three, two and two are whole whatever the micro-batch, whoever draws and wherever it is scored;
// one of the second group is no number, which leaves one alone.
TEST_F(Rollout, RewardsThatCompareSeeWholeGroups) {
  auto start = normal_noise(77, Purpose::data, {0, 1, 2, 3, 4, 5, 6}, 0, {2, 1, 3, 3});
  start[3].fill_(std::numeric_limits<double>::quiet_NaN());
  at::Tensor expected;
  for (const bool elsewhere : {false, true})
    for (const int64_t micro_batch : {7, 1, 2, 3, 5})
      for (const int64_t workers : {1, 3}) {
        auto compare = reward(elsewhere, 2);
        compare->scores = [](const ScoreInput& input) {
          const auto mean_B = input.frames_BF3HW.flatten(1).mean(1);
          EXPECT_EQ(std::set<int64_t>(input.group_ids.begin(), input.group_ids.end()).size(), 1u);
          return Scored{at::stack({mean_B - mean_B.mean(), at::full_like(mean_B, input.batch())}, 1), {}};
        };
        std::vector<MicroBatch> batches;
        progress_.clear();
        batches = drawn(workers, micro_batch, 0, start);
        const auto found = rewards_of(batches);
        EXPECT_EQ(progress_.back(), 7);
        EXPECT_TRUE(at::equal(found.values_BK.select(1, 1).nan_to_num(0),
                              at::tensor({3, 3, 3, 0, 0, 2, 2}, at::kDouble)))
            << found.values_BK;
        EXPECT_TRUE(at::equal(found.valid_BK.select(1, 0), found.values_BK.select(1, 1).isfinite()));
        if (!expected.defined()) expected = found.values_BK.nan_to_num(0);
        EXPECT_TRUE(at::allclose(found.values_BK.nan_to_num(0), expected, 0.0, 1e-6)) << micro_batch;
      }
}

TEST_F(Rollout, AMistakeThatARewardFindsElsewhereIsThrownHere) {
  reward(true)->scores = [](const ScoreInput&) -> Scored { throw Error("/rewards/0", "wants metadata"); };
  EXPECT_THROW(drawn(2, 2), Error);
}

TEST_F(Rollout, LatentsCarryNoGraph) {
  for (const auto& batch : drawn(2, 3)) EXPECT_FALSE(batch.trajectory.x0_BCFHW.requires_grad());
}

TEST(PromptEncoder, KeepsOrderOverChunks) {
  PromptList list;
  for (int i = 0; i < 600; ++i) {
    list.prompts.push_back(std::to_string(i));
    list.metadata_json.push_back("{}");
  }
  AnalyticModel model;
  const Observer observer;
  Workers workers(3);
  const auto set = PromptEncoder(model, {}, workers, observer).encode(list);
  EXPECT_EQ(set.size(), 600);
  ASSERT_EQ(set.conditioning.tensors.at("c").size(0), 600);
  for (const int64_t i : {0, 15, 16, 255, 599})
    EXPECT_TRUE(
        at::equal(set.conditioning.tensors.at("c")[i], model.encode({std::to_string(i)}).tensors.at("c")[0]));
}

TEST(DrawPrompts, AreShuffledPassesOverAll) {
  std::vector<int64_t> drawn;
  for (int64_t iteration = 0; iteration < 12; ++iteration) {
    const auto some = draw_prompts(10, 5, iteration, 4);
    EXPECT_EQ(some, draw_prompts(10, 5, iteration, 4));
    drawn.insert(drawn.end(), some.begin(), some.end());
  }
  std::set<std::vector<int64_t>> passes;
  for (size_t pass = 0; pass < 6; ++pass) {
    const std::vector<int64_t> order(drawn.begin() + static_cast<std::ptrdiff_t>(pass) * 10,
                                     drawn.begin() + static_cast<std::ptrdiff_t>(pass + 1) * 10);
    EXPECT_EQ(std::set<int64_t>(order.begin(), order.end()).size(), 10u);
    passes.insert(order);
  }
  EXPECT_EQ(passes.size(), 6u);  // each pass in an order of its own
  EXPECT_NE(draw_prompts(10, 10, 0, 4), draw_prompts(10, 10, 0, 5));
}

TEST(DrawPrompts, MayDrawMoreThanThereAre) {
  const auto drawn = draw_prompts(3, 8, 1, 4);
  ASSERT_EQ(drawn.size(), 8u);
  // Positions 8 to 15 of the sequence: its end of the third pass, the fourth, and a part of the fifth and
  // sixth.
  EXPECT_EQ((std::set<int64_t>{drawn[1], drawn[2], drawn[3]}).size(), 3u);
  EXPECT_EQ((std::set<int64_t>{drawn[4], drawn[5], drawn[6]}).size(), 3u);
}

}  // namespace
}  // namespace thalweg
