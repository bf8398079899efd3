#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "samplers/particles/select.h"
#include "tests/samplers/laboratory.h"

namespace thalweg {
namespace {

ParticleRecord record_of(const std::vector<double>& weights, int64_t groups) {
  ParticleRecord record;
  record.particles = static_cast<int64_t>(weights.size());
  record.log_weights_B = at::tensor(weights, at::kDouble).log().repeat(groups);
  return record;
}

TEST(Select, DrawsByWeight) {
  const std::vector<double> weights = {0.1, 0.0, 0.6, 0.3};
  const int64_t groups = 20000;
  const auto in = laboratory_input(reference_mixture(), uniform_schedule(4), 4 * groups, 1);
  const auto rows = draw_by_weight(record_of(weights, groups), in);
  ASSERT_EQ(rows.size(), static_cast<size_t>(groups));
  std::vector<double> shares(4);
  for (size_t g = 0; g < rows.size(); ++g) {
    const int64_t p = rows[g] - 4 * static_cast<int64_t>(g);
    ASSERT_TRUE(p >= 0 && p < 4);
    shares[static_cast<size_t>(p)] += 1.0 / static_cast<double>(groups);
  }
  EXPECT_EQ(shares[1], 0.0);
  for (size_t p = 0; p < 4; ++p)
    EXPECT_NEAR(shares[p], weights[p], 4.0 * std::sqrt(weights[p] / static_cast<double>(groups)));
}

TEST(Select, TakesTheBestThatWasScored) {
  const auto in = laboratory_input(reference_mixture(), uniform_schedule(4), 9, 1);
  auto record = record_of({1.0, 1.0, 1.0}, 3);
  EXPECT_THROW(best_by_reward(record, in), c10::Error);
  record.rewards_B = at::tensor({1.0, 3.0, 2.0, NAN, -5.0, -7.0, NAN, NAN, NAN}, at::kDouble);
  EXPECT_EQ(best_by_reward(record, in), (std::vector<int64_t>{1, 4, 6}));
}

TEST(Select, LeavesTheLatentsOfTheChosenAndTheRecordOfAll) {
  const auto in = laboratory_input(reference_mixture(), uniform_schedule(4), 6, 1);
  Trajectory trajectory;
  trajectory.x0_BCFHW = in.x_BCFHW;
  trajectory.particles = record_of({0.0, 0.0, 1.0}, 2);
  trajectory.particles->rewards_B = at::arange(6, at::kDouble).flip(0);
  const auto drawn = selected(trajectory, in, selection_named("draw"));
  EXPECT_TRUE(at::equal(drawn.x0_BCFHW, at::stack({in.x_BCFHW[2], in.x_BCFHW[5]})));
  EXPECT_EQ(drawn.particles->log_weights_B.size(0), 6);
  const auto best = selected(trajectory, in, selection_named("best"));
  EXPECT_TRUE(at::equal(best.x0_BCFHW, at::stack({in.x_BCFHW[0], in.x_BCFHW[3]})));
  const auto all = selected(trajectory, in, selection_named("all"));
  EXPECT_TRUE(at::equal(all.x0_BCFHW, in.x_BCFHW));
  EXPECT_THROW(selection_named("worst"), c10::Error);
}

}  // namespace
}  // namespace thalweg
