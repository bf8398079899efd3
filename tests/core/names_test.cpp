#include "engine/core/names.h"

#include <gtest/gtest.h>

namespace thalweg {
namespace {

TEST(NearestName, FindsTypingErrors) {
  const std::vector<std::string> known = {"learning_rate", "weight_decay", "warmup_steps"};
  EXPECT_EQ(nearest_name("learnin_rate", known), "learning_rate");
  EXPECT_EQ(nearest_name("learning-rate", known), "learning_rate");
  EXPECT_EQ(nearest_name("wieght_decay", known), "weight_decay");
  EXPECT_EQ(nearest_name("weight_decay", known), "weight_decay");
}

TEST(NearestName, IsSilentWhenNothingIsNear) {
  EXPECT_EQ(nearest_name("colour", {"learning_rate"}), "");
  EXPECT_EQ(nearest_name("x", {}), "");
}

TEST(NearestName, AllowsAThirdOfTheLongerNameAndTwoOfAShortOne) {
  EXPECT_EQ(nearest_name("abcxyz", {"abcdef"}), "");                 // three of six
  EXPECT_EQ(nearest_name("abcdyz", {"abcdef"}), "abcdef");           // two of six
  EXPECT_EQ(nearest_name("abcxyzghi", {"abcdefghi"}), "abcdefghi");  // three of nine
}

TEST(NearestName, PrefersTheNearestAndThenTheFirst) {
  EXPECT_EQ(nearest_name("step", {"stop_x", "steps"}), "steps");
  EXPECT_EQ(nearest_name("stip", {"stop", "step"}), "stop");
}

TEST(Join, PutsSeparatorsBetween) {
  EXPECT_EQ(join({}), "");
  EXPECT_EQ(join({"a"}), "a");
  EXPECT_EQ(join({"a", "b", "c"}), "a, b, c");
  EXPECT_EQ(join({"a", "b"}, "/"), "a/b");
  EXPECT_EQ(join({"", "b", ""}, "/"), "/b/");
}

TEST(Suggestion, NamesTheNearestOrAll) {
  EXPECT_EQ(suggestion("stepz", {"steps", "seed"}), " (did you mean \"steps\"?)");
  EXPECT_EQ(suggestion("colour", {"steps", "seed"}), " (known: steps, seed)");
  EXPECT_EQ(suggestion("colour", {}), "");
}

}  // namespace
}  // namespace thalweg
