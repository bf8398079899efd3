#include "engine/core/natural_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace thalweg {
namespace {

TEST(NaturalOrder, IsThatOfNumbers) {
  std::vector<std::string> names;
  for (int i = 0; i < 200; ++i) names.push_back(std::to_string(i) + ".png");
  auto sorted = names;
  std::sort(sorted.begin(), sorted.end());
  ASSERT_NE(sorted, names);  // "10.png" before "2.png"
  std::sort(sorted.begin(), sorted.end(), natural_less);
  EXPECT_EQ(sorted, names);
}

TEST(NaturalOrder, KeepsThatOfTextOtherwise) {
  const std::vector<std::string> names = {"",
                                          "1_frame2.png",
                                          "1_frame10.png",
                                          "2.jpg",
                                          "2.png",
                                          "07",
                                          "7",
                                          "7a",
                                          "10000000000000000000000000",
                                          "10000000000000000000000001",
                                          "A",
                                          "a1b2",
                                          "a1b10",
                                          "a2",
                                          "b",
                                          "\xC3\xA9"};
  auto shuffled = names;
  std::reverse(shuffled.begin(), shuffled.end());
  std::sort(shuffled.begin(), shuffled.end(), natural_less);
  EXPECT_EQ(shuffled, names);
}

// What std::sort asks for, over all pairs and triples of some names.
TEST(NaturalOrder, IsAStrictOrder) {
  const std::string names[] = {"",    "0",  "00", "1",   "01",   "10",  "a", "a0",
                               "a00", "a1", "1a", "01a", "a01b", "a1b", "b"};
  for (const auto& a : names)
    for (const auto& b : names) {
      EXPECT_EQ(natural_less(a, b) + natural_less(b, a), a == b ? 0 : 1) << a << " " << b;
      for (const auto& c : names)
        EXPECT_TRUE(!(natural_less(a, b) && natural_less(b, c)) || natural_less(a, c))
            << a << " " << b << " " << c;
    }
}

}  // namespace
}  // namespace thalweg
