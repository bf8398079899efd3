#include "plugins/remote/bucket.h"

#include <gtest/gtest.h>

#include "tests/remote/fakes.h"

namespace remote {
namespace {

TEST(Bucket, WithoutALimitNobodyWaits) {
  testing::FakeClock clock;
  Bucket bucket(clock, 0);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(bucket.take(1e6, 0), 0.0);
}

TEST(Bucket, GivesItsRateAndTenSecondsAtOnce) {
  testing::FakeClock clock;
  Bucket bucket(clock, 60);  // one a second
  for (int i = 0; i < 10; ++i) EXPECT_EQ(bucket.take(1, 100), 0.0) << i;
  for (int i = 1; i <= 5; ++i) EXPECT_NEAR(bucket.take(1, 100).value(), i, 1e-9);
  clock.advance(5);
  EXPECT_NEAR(bucket.take(1, 100).value(), 1, 1e-9);
  clock.advance(1000);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(bucket.take(1, 100), 0.0) << i;
  EXPECT_GT(bucket.take(1, 100).value(), 0.0);
}

TEST(Bucket, TakesNothingFromThoseWithoutPatience) {
  testing::FakeClock clock;
  Bucket bucket(clock, 60);
  for (int i = 0; i < 10; ++i) bucket.take(1, 0);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(bucket.take(1, 0.5).has_value());
  EXPECT_NEAR(bucket.take(1, 2).value(), 1, 1e-9);
}

TEST(Bucket, AmountsAboveTheBurstArePaidForLater) {
  testing::FakeClock clock;
  Bucket bucket(clock, 60);
  EXPECT_EQ(bucket.take(40, 100), 0.0);
  EXPECT_NEAR(bucket.take(1, 100).value(), 31, 1e-9);
}

TEST(Bucket, HalvesAndRecovers) {
  testing::FakeClock clock;
  Bucket bucket(clock, 64);
  bucket.halve();
  EXPECT_DOUBLE_EQ(bucket.rate(), 32);
  bucket.recover();
  EXPECT_DOUBLE_EQ(bucket.rate(), 34);
  for (int i = 0; i < 100; ++i) bucket.halve();
  EXPECT_DOUBLE_EQ(bucket.rate(), 1);
  for (int i = 0; i < 100; ++i) bucket.recover();
  EXPECT_DOUBLE_EQ(bucket.rate(), 64);
}

}  // namespace
}  // namespace remote
