#include "plugins/remote/breaker.h"

#include <gtest/gtest.h>

#include "tests/remote/fakes.h"

namespace remote {
namespace {

using Pass = Breaker::Pass;

struct Around {
  testing::FakeClock clock;
  Breaker breaker{clock};
  void run(int count, bool success) {
    for (int i = 0; i < count; ++i) breaker.leave(breaker.enter(), success);
  }
};

TEST(Breaker, OpensAfterTenFailuresInARow) {
  Around a;
  a.run(9, false);
  a.run(1, true);
  a.run(9, false);
  EXPECT_EQ(a.breaker.enter(), Pass::normal);
  a.breaker.leave(Pass::normal, false);
  EXPECT_EQ(a.breaker.enter(), Pass::refused);
}

TEST(Breaker, OpensWhenMoreThanHalfOfFiftyFail) {
  Around a;
  for (int i = 0; i < 24; ++i) a.run(1, false), a.run(1, true);
  a.run(1, true);
  a.run(1, false);  // 25 of 50
  EXPECT_EQ(a.breaker.enter(), Pass::normal);
  a.breaker.leave(Pass::normal, false);  // the first failure leaves the window as this one enters
  EXPECT_EQ(a.breaker.enter(), Pass::normal);
  a.breaker.leave(Pass::normal, false);  // a success leaves it: 26
  EXPECT_EQ(a.breaker.enter(), Pass::refused);
}

TEST(Breaker, LetsOneThroughAfterThirtySeconds) {
  Around a;
  a.run(10, false);
  a.clock.advance(29.9);
  EXPECT_EQ(a.breaker.enter(), Pass::refused);
  a.clock.advance(0.2);
  EXPECT_EQ(a.breaker.enter(), Pass::probe);
  EXPECT_EQ(a.breaker.enter(), Pass::refused);
  a.breaker.leave(Pass::probe, false);
  EXPECT_EQ(a.breaker.enter(), Pass::refused);
  a.clock.advance(30.1);
  ASSERT_EQ(a.breaker.enter(), Pass::probe);
  a.breaker.cancel(Pass::probe);  // was not sent
  ASSERT_EQ(a.breaker.enter(), Pass::probe);
  a.breaker.leave(Pass::probe, true);
  a.run(9, false);
  EXPECT_EQ(a.breaker.enter(), Pass::normal);
}

TEST(Breaker, RequestsFromBeforeItOpenedDecideNothing) {
  Around a;
  const auto early = a.breaker.enter();
  a.run(10, false);
  a.clock.advance(31);
  const auto probe = a.breaker.enter();
  ASSERT_EQ(probe, Pass::probe);
  a.breaker.leave(early, true);
  EXPECT_EQ(a.breaker.enter(), Pass::refused);
  a.breaker.leave(probe, true);
  EXPECT_EQ(a.breaker.enter(), Pass::normal);
}

}  // namespace
}  // namespace remote
