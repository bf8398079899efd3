#include "engine/io/crc32.h"

#include <gtest/gtest.h>

namespace thalweg {
namespace {

// The check value of the polynomial, and the chunk IEND that ends every PNG.
TEST(Crc32, KnowsThePublishedValues) {
  EXPECT_EQ(crc32("123456789"), 0xcbf43926u);
  EXPECT_EQ(crc32("IEND"), 0xae426082u);
  EXPECT_EQ(crc32(""), 0u);
}

// RFC 3720 B.4 and the check value of the Castagnoli polynomial.
TEST(Crc32c, KnowsThePublishedValues) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c(""), 0u);
}

}  // namespace
}  // namespace thalweg
