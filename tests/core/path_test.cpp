#include "engine/core/path.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/io/scratch.h"

namespace thalweg {
namespace {

TEST(LowerEnding, IsOfTheNameAlone) {
  EXPECT_EQ(lower_ending("a.PNG"), ".png");
  EXPECT_EQ(lower_ending("A.B/c.Tar.Gz"), ".gz");
  EXPECT_EQ(lower_ending("A.B/c"), "");
  EXPECT_EQ(lower_ending(".PNG"), "");
  EXPECT_EQ(lower_ending("a.\xC3\x84"), ".\xC3\x84");  // letters beyond A to Z stay
}

TEST(LiesIn, FollowsLinksOfBoth) {
  const Scratch scratch;
  std::filesystem::create_directories(scratch / "model/part");
  std::filesystem::create_directory_symlink(scratch / "model", scratch / "link");
  EXPECT_TRUE(lies_in(scratch / "model", scratch / "model"));
  EXPECT_TRUE(lies_in(scratch / "model", scratch / "model/part"));
  EXPECT_TRUE(lies_in(scratch / "model", scratch / "link/not/there/yet"));
  EXPECT_TRUE(lies_in(scratch / "link", scratch / "model/part"));
  EXPECT_FALSE(lies_in(scratch / "model", scratch / "model-2"));
  EXPECT_FALSE(lies_in(scratch / "model", scratch / "model/../other"));
  EXPECT_FALSE(lies_in(scratch / "model/part", scratch / "model"));
}

}  // namespace
}  // namespace thalweg
