// Choosing samples of a rollout: which they are, and that their micro-batches hold what was theirs.
#include "pipelines/training/selection.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/training/small_training.h"

namespace thalweg {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Scores scored(std::vector<double> reward, std::vector<int64_t> group) {
  Scores scores;
  scores.total.total_B = at::tensor(reward, at::kDouble);
  scores.total.valid_B = scores.total.total_B.isfinite();
  scores.group_B = std::move(group);
  return scores;
}

TEST(BestOfGroups, IsTheFirstOfThoseAlike) {
  EXPECT_EQ(best_of_groups(scored({1, 3, 3, 5, 5, 2}, {0, 0, 0, 1, 1, 1})), (std::vector<int64_t>{1, 3}));
}

TEST(BestOfGroups, PassesOverWhatWasNotScored) {
  EXPECT_EQ(best_of_groups(scored({kNan, 1, 2, kNan, kNan, -4}, {0, 0, 0, 1, 1, 2})),
            (std::vector<int64_t>{2, 5}));
}

TEST(BestAndWorstOfGroups, AreTwoSamples) {
  EXPECT_EQ(best_and_worst_of_groups(scored({2, 1, 3, 1, 3}, {0, 0, 0, 0, 0})), (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(best_and_worst_of_groups(scored({7, 7, 7}, {4, 4, 4})), (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(best_and_worst_of_groups(scored({5, kNan, 1, kNan, 2, 9, 8}, {0, 0, 1, 1, 2, 2, 2})),
            (std::vector<int64_t>{5, 4}));  // one sample is no pair
}

TEST(BestAndWorstOfGroups, ByOneColumn) {
  const auto value_B = at::tensor({1.0, kNan, 4.0, 4.0, 1.0}, at::kDouble);
  EXPECT_EQ(best_and_worst_of_groups({value_B, value_B.isfinite()}, {0, 0, 0, 0, 0}),
            (std::vector<int64_t>{2, 0}));
  EXPECT_EQ(best_and_worst_of_groups({-value_B, value_B.isfinite()}, {0, 0, 0, 0, 0}),
            (std::vector<int64_t>{0, 2}));
}

TEST(Weights, AreNothingWhereNotUsed) {
  const auto used = at::tensor({1, 0}, at::kLong).to(at::kBool);
  const auto advantages = weights(at::tensor({2.5, kNan}, at::kDouble), used);
  ASSERT_EQ(advantages.heads.size(), 1u);
  EXPECT_TRUE(at::equal(advantages.heads[0].values_B, at::tensor({2.5, 0.0}, at::kDouble)));
  EXPECT_TRUE(at::equal(advantages.heads[0].used_B, used));
  EXPECT_TRUE(at::equal(advantages.used_B, used));
}

// Micro-batches of three over four groups of four samples: the selected rows come from several of them. Every
// tensor holds its row's number.
class Selecting : public ::testing::Test {
 protected:
  Selecting() {
    for (int64_t begin = 0; begin < 16;
         begin += begin == 6 ? 2 : 3) {  // cut at row 8: an update begins there
      auto& batch = batches_.emplace_back();
      const int64_t end = begin == 6 ? 8 : std::min<int64_t>(begin + 3, 16);
      const auto number = at::arange(begin, end, at::kDouble);
      for (int64_t i = begin; i < end; ++i) {
        batch.rows.push_back({.prompt = 100 + i, .group = i / 4, .slot = 200 + i});
        batch.conditioning.prompts.push_back(std::to_string(i));
        batch.conditioning.metadata_json.push_back("{\"i\": " + std::to_string(i) + "}");
      }
      batch.conditioning.tensors["text"] = number.view({-1, 1}) + 0.5;
      auto& t = batch.trajectory;
      t.schedule = {{1.0, 0.5, 0.0}};
      t.trained_steps = {0, 1};
      t.x0_BCFHW = number.view({-1, 1, 1, 1, 1}) + 1000.0;
      t.latents = {t.x0_BCFHW + 1000.0, t.x0_BCFHW + 2000.0};
      t.next_latents = {t.x0_BCFHW + 3000.0, t.x0_BCFHW + 4000.0};
      t.log_probs_TB = at::stack({number, -number});
    }
  }

  static void expect_row(const MicroBatch& batch, int64_t at, int64_t row) {
    const auto& t = batch.trajectory;
    const auto of = [&](const at::Tensor& x) { return x[at].item<double>(); };
    const auto number = static_cast<double>(row);
    EXPECT_EQ(batch.rows[static_cast<size_t>(at)].prompt, 100 + row);
    EXPECT_EQ(batch.rows[static_cast<size_t>(at)].group, row / 4);
    EXPECT_EQ(batch.rows[static_cast<size_t>(at)].slot, 200 + row);
    EXPECT_EQ(batch.conditioning.prompts[static_cast<size_t>(at)], std::to_string(row));
    EXPECT_EQ(of(batch.conditioning.tensors.at("text")), number + 0.5);
    EXPECT_EQ(of(t.x0_BCFHW), number + 1000.0);
    for (size_t step = 0; step < 2; ++step) {
      EXPECT_EQ(of(t.latents[step]), number + 2000.0 + 1000.0 * static_cast<double>(step));
      EXPECT_EQ(of(t.next_latents[step]), number + 4000.0 + 1000.0 * static_cast<double>(step));
    }
    EXPECT_EQ(of(t.log_probs_TB[0]), number);
    EXPECT_EQ(of(t.log_probs_TB[1]), -number);
    EXPECT_EQ(t.trained_steps, (std::vector<int64_t>{0, 1}));
    EXPECT_EQ(t.schedule.sigmas.size(), 3u);
  }

  void expect(const std::vector<int64_t>& rows, const GroupPlan& plan, int64_t micro_batch,
              const std::vector<size_t>& sizes) const {
    const auto selection = selected(batches_, rows, plan, micro_batch);
    EXPECT_EQ(selection.rows, rows);
    ASSERT_EQ(selection.batches.size(), sizes.size());
    size_t next = 0;
    for (size_t b = 0; b < sizes.size(); ++b) {
      ASSERT_EQ(selection.batches[b].rows.size(), sizes[b]);
      for (size_t i = 0; i < sizes[b]; ++i)
        expect_row(selection.batches[b], static_cast<int64_t>(i), rows[next++]);
    }
  }

  std::vector<MicroBatch> batches_;
};

TEST_F(Selecting, OneOfEachGroup) {
  expect({2, 5, 11, 12}, {4, 4, 1}, 16, {4});
  expect({2, 5, 11, 12}, {4, 4, 1}, 3, {3, 1});
}

TEST_F(Selecting, KeepsTheirOrderWithinAGroup) {
  expect({3, 0, 7, 6, 8, 11}, {4, 4, 1}, 16, {6});
}

TEST_F(Selecting, NoMicroBatchBelongsToTwoUpdates) {
  expect({3, 0, 7, 6, 8, 11}, {4, 4, 2}, 16, {4, 2});
  expect({3, 0, 7, 6, 8, 11}, {4, 4, 4}, 16, {2, 2, 2});
  expect({3, 0, 7, 6, 8, 11}, {4, 4, 2}, 2, {2, 2, 2});
}

TEST_F(Selecting, NothingIsNothing) {
  EXPECT_TRUE(selected(batches_, {}, {4, 4, 2}, 4).batches.empty());
  const auto all = at::ones({16}, at::kBool);
  EXPECT_EQ(selected(weights(all, all), {}).used_B.numel(), 0);
}

TEST_F(Selecting, RefusesRowsThatAreNotThere) {
  EXPECT_THROW(selected(batches_, {16}, {4, 4, 1}, 4), std::out_of_range);
}

TEST_F(Selecting, UpdatesFindTheirShares) {
  const GroupPlan plan{4, 4, 2};
  const std::vector<int64_t> rows = {2, 5, 11, 12};
  const auto selection = selected(batches_, rows, plan, 16);
  const auto all = at::arange(16, at::kDouble);
  const auto chosen = selected(weights(all, all != 11.0), rows);
  EXPECT_TRUE(at::equal(chosen.heads[0].values_B, at::tensor({2.0, 5.0, 0.0, 12.0}, at::kDouble)));
  const auto second = update_of(selection.batches, plan, 1, chosen.used_B);
  ASSERT_EQ(second.shares.size(), 1u);
  EXPECT_EQ(second.shares[0].begin, 2);
  EXPECT_EQ(second.shares[0].end, 4);
  EXPECT_EQ(second.used, 1.0);
  const auto head = head_of(chosen.heads[0], second);
  EXPECT_TRUE(at::equal(head.weight_B, at::tensor({0.0, 0.0, 0.0, 1.0}, at::kDouble)));
}

}  // namespace
}  // namespace thalweg
