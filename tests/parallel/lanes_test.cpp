#include "pipelines/stages/lanes.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>

#include "engine/core/rng.h"

namespace thalweg {
namespace {

// Values over ten orders of magnitude, so that float32 sums in another order have other bits.
TensorMap gradient_of(int64_t m) {
  const auto noise = normal_noise(1, Purpose::data, {m}, 0, {64})[0];
  const double scale = std::pow(10.0, static_cast<double>(m % 11) - 5.0);
  TensorMap gradients = {{"a", noise * scale}};
  if (m % 3 != 0) gradients["b"] = noise.flip(0) * scale;  // some micro-batches do not reach every parameter
  return gradients;
}

std::vector<TensorMap> one_head(int64_t m) {
  return {gradient_of(m)};
}

TensorMap sum(int64_t workers, int64_t lanes, int64_t micro_batches) {
  Workers pool(workers);
  return lane_gradients(pool, lanes, micro_batches, 1, one_head)[0];
}

TEST(LaneGradients, SameBitsForAnyNumberOfWorkers) {
  for (const int64_t lanes : {1, 2, 3, 4, 8})
    for (const int64_t micro_batches : {1, 2, 5, 16}) {
      const auto one = sum(1, lanes, micro_batches);
      for (const int64_t workers : {2, 3})
        for (int repeat = 0; repeat < 3; ++repeat) {
          const auto many = sum(workers, lanes, micro_batches);
          ASSERT_EQ(many.size(), one.size());
          for (const auto& [name, gradient] : one) EXPECT_TRUE(at::equal(gradient, many.at(name))) << name;
        }
    }
}

TEST(LaneGradients, AddEveryMicroBatchOnce) {
  const auto exact = [](int64_t micro_batches) {
    TensorMap total;
    for (int64_t m = 0; m < micro_batches; ++m)
      for (const auto& [name, gradient] : gradient_of(m)) {
        auto& target = total[name];
        target = target.defined() ? target + gradient.to(at::kDouble) : gradient.to(at::kDouble);
      }
    return total;
  };
  for (const int64_t lanes : {1, 3, 4, 7})
    for (const int64_t micro_batches : {1, 4, 13}) {
      const auto expected = exact(micro_batches);
      const auto found = sum(2, lanes, micro_batches);
      ASSERT_EQ(found.size(), expected.size());
      for (const auto& [name, gradient] : expected)
        EXPECT_TRUE(at::allclose(found.at(name).to(at::kDouble), gradient, 1e-5,
                                 1e-6 * gradient.abs().max().item<double>()));
    }
}

TEST(LaneGradients, TheOrderIsThatOfTheLanes) {
  // Two lanes of 0,2,4 and 1,3: (g0 + g2 + g4) + (g1 + g3), each in that order.
  const auto a = [](int64_t m) { return gradient_of(m).at("a"); };
  EXPECT_TRUE(at::equal(sum(2, 2, 5).at("a"), (a(0) + a(2) + a(4)) + (a(1) + a(3))));
  // Four lanes: a tree of pairs.
  EXPECT_TRUE(at::equal(sum(3, 4, 4).at("a"), (a(0) + a(1)) + (a(2) + a(3))));
}

TEST(LaneGradients, OfNothingAreNothing) {
  EXPECT_TRUE(sum(2, 4, 0).empty());
}

TEST(LaneGradients, PassExceptionsOn) {
  Workers pool(2);
  EXPECT_THROW(lane_gradients(pool, 2, 6, 1,
                              [](int64_t m) {
                                if (m == 3) throw std::runtime_error("out of memory");
                                return one_head(m);
                              }),
               std::runtime_error);
}

// Each head is summed as if it were alone, bit for bit.
TEST(LaneGradients, HeadsDoNotMeet) {
  Workers pool(2);
  const auto heads = lane_gradients(pool, 3, 7, 3, [](int64_t m) {
    return std::vector<TensorMap>{gradient_of(m), gradient_of(m + 100), {}};
  });
  ASSERT_EQ(heads.size(), 3u);
  for (size_t h = 0; h < 2; ++h) {
    const int64_t offset = h == 0 ? 0 : 100;
    const auto alone = lane_gradients(
        pool, 3, 7, 1, [&](int64_t m) { return std::vector<TensorMap>{gradient_of(m + offset)}; })[0];
    ASSERT_EQ(heads[h].size(), alone.size());
    for (const auto& [name, gradient] : alone) EXPECT_TRUE(at::equal(heads[h].at(name), gradient)) << name;
  }
  EXPECT_TRUE(heads[2].empty());
}

}  // namespace
}  // namespace thalweg
