#include "engine/core/rng.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "engine/core/shuffled.h"

namespace thalweg {
namespace {

using Block = std::array<uint32_t, 4>;

// Known answers published with Random123 1.14 for Philox4x32-10: zeros, ones, digits of pi.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox({0, 0}, {0, 0, 0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0xa4093822, 0x299f31d0}, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

at::Tensor draw(uint64_t seed, Purpose purpose, int64_t slot, uint64_t step,
                at::ScalarType dtype = at::kDouble) {
  return normal_noise(seed, purpose, {slot}, step, {50000}, dtype)[0];
}

TEST(NormalNoise, HasTheMomentsOfANormal) {
  const auto x = normal_noise(3, Purpose::transition, {0, 1, 2, 3}, 0, {50000}, at::kDouble);
  const auto moment = [&](int power) { return x.pow(power).mean().item<double>(); };
  // Five standard errors at 200000 draws: sqrt(var(x^k) / n), variances 1, 2, 15, 96.
  const double n = 200000.0;
  EXPECT_NEAR(moment(1), 0.0, 5.0 * std::sqrt(1.0 / n));
  EXPECT_NEAR(moment(2), 1.0, 5.0 * std::sqrt(2.0 / n));
  EXPECT_NEAR(moment(3), 0.0, 5.0 * std::sqrt(15.0 / n));
  EXPECT_NEAR(moment(4), 3.0, 5.0 * std::sqrt(96.0 / n));
  EXPECT_NEAR((x.abs() < 1.0).to(at::kDouble).mean().item<double>(), 0.682689, 5.0 * std::sqrt(0.2166 / n));
  EXPECT_GT(x.abs().max().item<double>(), 4.0);
}

TEST(NormalNoise, StreamsAreIndependent) {
  const auto base = draw(1, Purpose::transition, 5, 2);
  const at::Tensor others[] = {draw(2, Purpose::transition, 5, 2),
                               draw(1, Purpose::initial_noise, 5, 2),
                               draw(1, Purpose::transition, 6, 2),
                               draw(1, Purpose::transition, 5, 3),
                               draw(1ull << 32 | 1, Purpose::transition, 5, 2),
                               draw(1, Purpose::transition, int64_t{1} << 32 | 5, 2)};
  for (size_t i = 0; i < std::size(others); ++i) {
    const double correlation = (base * others[i]).mean().item<double>();
    EXPECT_NEAR(correlation, 0.0, 5.0 / std::sqrt(50000.0)) << i;
    EXPECT_FALSE(at::equal(base, others[i])) << i;
  }
  // Neither pairs of one block nor neighbouring blocks hang together.
  for (const int64_t lag : {1, 2, 4})
    EXPECT_NEAR((base.slice(0, lag) * base.slice(0, 0, 50000 - lag)).mean().item<double>(), 0.0,
                5.0 / std::sqrt(50000.0));
}

TEST(NormalNoise, DependsOnTheSlotAloneInAnyBatch) {
  const auto whole = normal_noise(1, Purpose::initial_noise, {4, 9, 2}, 7, {3, 5});
  const int64_t slots[] = {4, 9, 2};
  for (int64_t b = 0; b < 3; ++b)
    EXPECT_TRUE(at::equal(whole[b], normal_noise(1, Purpose::initial_noise, {slots[b]}, 7, {3, 5})[0]));
  // A stream has an order: a shorter shape is its beginning, odd sizes included.
  EXPECT_TRUE(
      at::equal(whole[0].flatten().slice(0, 0, 7), normal_noise(1, Purpose::initial_noise, {4}, 7, {7})[0]));
}

TEST(NormalNoise, Float32IsTheRoundedFloat64) {
  EXPECT_TRUE(
      at::equal(draw(1, Purpose::data, 3, 4, at::kFloat), draw(1, Purpose::data, 3, 4).to(at::kFloat)));
}

TEST(NormalNoise, KeepsItsNumbers) {
  // The layout of the counter is a promise: whoever changes it changes every resumed run.
  const auto block = philox({7, 0}, {5, 0, 2, static_cast<uint32_t>(Purpose::transition) << 24});
  const auto unit = [](uint32_t high, uint32_t low) {
    return (static_cast<double>((static_cast<uint64_t>(high) << 32 | low) >> 11) + 1.0) / 9007199254740992.0;
  };
  const double radius = std::sqrt(-2.0 * std::log(unit(block[0], block[1])));
  const double angle = 2.0 * M_PI * unit(block[2], block[3]);
  const auto x = normal_noise(7, Purpose::transition, {5}, 2, {2}, at::kDouble)[0];
  EXPECT_NEAR(x[0].item<double>(), radius * std::cos(angle), 1e-12);
  EXPECT_NEAR(x[1].item<double>(), radius * std::sin(angle), 1e-12);
}

TEST(NormalNoise, TakesEmptyShapesAndBatches) {
  EXPECT_EQ(normal_noise(1, Purpose::data, {}, 0, {3}).sizes(), at::IntArrayRef({0, 3}));
  EXPECT_EQ(normal_noise(1, Purpose::data, {1, 2}, 0, {0}).sizes(), at::IntArrayRef({2, 0}));
  EXPECT_EQ(normal_noise(1, Purpose::data, {1, 2}, 0, {}).sizes(), at::IntArrayRef({2}));
}

TEST(RandomUniform, IsUniformBelowOne) {
  double sum = 0.0, squares = 0.0, low = 1.0, high = 0.0;
  const int n = 20000;
  for (int i = 0; i < n; ++i) {
    const double u = random_uniform(1, Purpose::training_sigma, static_cast<uint64_t>(i), 0);
    sum += u;
    squares += u * u;
    low = std::min(low, u);
    high = std::max(high, u);
  }
  EXPECT_NEAR(sum / n, 0.5, 5.0 * std::sqrt(1.0 / 12.0 / n));
  EXPECT_NEAR(squares / n, 1.0 / 3.0, 5.0 * std::sqrt(4.0 / 45.0 / n));
  EXPECT_GE(low, 0.0);
  EXPECT_LT(high, 1.0);
  EXPECT_LT(low, 0.001);
  EXPECT_GT(high, 0.999);
}

TEST(RandomBits, DifferForEveryArgument) {
  std::set<uint64_t> seen;
  for (uint64_t seed = 0; seed < 3; ++seed)
    for (uint32_t purpose = 1; purpose <= 12; ++purpose)
      for (uint64_t slot = 0; slot < 5; ++slot)
        for (uint64_t step = 0; step < 5; ++step)
          seen.insert(random_bits(seed, static_cast<Purpose>(purpose), slot, step));
  EXPECT_EQ(seen.size(), 3u * 12u * 5u * 5u);
}

// Every order is as likely as any other, and another slot, step or purpose has its own.
TEST(Shuffled, OrdersAreThoseOfTheirSlot) {
  std::map<std::vector<int64_t>, int> seen;
  for (int64_t slot = 0; slot < 6000; ++slot) ++seen[shuffled(1, Purpose::walked_steps, slot, 0, 3)];
  ASSERT_EQ(seen.size(), 6u);
  for (const auto& [order, count] : seen) {
    EXPECT_TRUE(std::is_permutation(order.begin(), order.end(), std::vector<int64_t>{0, 1, 2}.begin()));
    EXPECT_NEAR(count, 1000, 120);
  }
  const auto of = [](Purpose purpose, int64_t slot, int64_t first) {
    return shuffled(1, purpose, slot, first, 20);
  };
  const auto one = of(Purpose::walked_steps, 5, 0);
  EXPECT_EQ(of(Purpose::walked_steps, 5, 0), one);
  for (const auto& other :
       {of(Purpose::training_sigma, 5, 0), of(Purpose::walked_steps, 6, 0), of(Purpose::walked_steps, 5, 20)})
    EXPECT_NE(other, one);
}

}  // namespace
}  // namespace thalweg
