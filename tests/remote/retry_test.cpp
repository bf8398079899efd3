#include "plugins/remote/retry.h"

#include <gtest/gtest.h>

namespace remote {
namespace {

TEST(Retry, OfStatusesThatMayPass) {
  for (const int status : {408, 409, 425, 429, 500, 502, 503, 504, 599})
    EXPECT_TRUE(may_retry(status)) << status;
  for (const int status : {200, 301, 400, 401, 403, 404, 413, 422, 600, 0})
    EXPECT_FALSE(may_retry(status)) << status;
}

TEST(Retry, BacksOffWithFullJitter) {
  EXPECT_EQ(backoff(0, 0.0), 0.0);
  EXPECT_EQ(backoff(0, 1.0), 0.5);
  EXPECT_EQ(backoff(3, 1.0), 4.0);
  EXPECT_EQ(backoff(3, 0.25), 1.0);
  EXPECT_EQ(backoff(6, 1.0), 30.0);
  EXPECT_EQ(backoff(1000000, 1.0), 30.0);
}

TEST(Retry, ReadsBothFormsOfRetryAfter) {
  constexpr double kDate = 784111777;  // Sun, 06 Nov 1994 08:49:37 GMT
  EXPECT_EQ(retry_after("7", kDate), 7.0);
  EXPECT_EQ(retry_after(" 0 ", kDate), 0.0);
  EXPECT_EQ(retry_after("99999999999999999999999999", kDate), 120.0);
  EXPECT_EQ(retry_after("Sun, 06 Nov 1994 08:50:07 GMT", kDate), 30.0);
  EXPECT_EQ(retry_after("Sunday, 06-Nov-94 08:50:07 GMT", kDate), 30.0);
  EXPECT_EQ(retry_after("Sun Nov  6 08:50:07 1994", kDate), 30.0);
  EXPECT_EQ(retry_after("Sun, 06 Nov 1994 08:49:07 GMT", kDate), 0.0);
  EXPECT_EQ(retry_after("Sun, 06 Nov 2044 08:49:07 GMT", kDate), 120.0);
  for (const auto* text : {"", "-1", "soon", "1.5", "1e3", "7 seconds", "Friday"})
    EXPECT_FALSE(retry_after(text, kDate).has_value()) << text;
  EXPECT_FALSE(retry_after(std::string(1000, '1'), kDate).has_value());
}

}  // namespace
}  // namespace remote
