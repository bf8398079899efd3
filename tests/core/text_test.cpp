#include "engine/core/text.h"

#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "engine/core/utf8.h"

namespace thalweg {
namespace {

TEST(Utf8, TakesEveryWellFormedLength) {
  for (const std::string text : {"", "a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                                 "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"})
    EXPECT_TRUE(is_valid_utf8("x" + text + "y")) << text;
}

TEST(Utf8, TakesOneCharacterAtATime) {
  EXPECT_EQ(utf8_character_length(""), 0u);
  EXPECT_EQ(utf8_character_length("a\xff"), 1u);
  EXPECT_EQ(utf8_character_length("\xc3\xbc\xff"), 2u);
  EXPECT_EQ(utf8_character_length("\xe2\x82\xac\xff"), 3u);
  EXPECT_EQ(utf8_character_length("\xf0\x9f\x98\x80\xff"), 4u);
  EXPECT_EQ(utf8_character_length("\x80"), 0u);
}

TEST(Utf8, FindsWhereItEnds) {
  for (const std::string bad :
       {"\x80", "\xc0\xaf", "\xc1\xbf", "\xc3", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xe2\x82",
        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xf0\x9f\x98"}) {
    EXPECT_EQ(valid_utf8_length("\xc3\xbc" + bad), 2u) << bad;
    EXPECT_FALSE(is_valid_utf8(bad + "a"));
  }
}

TEST(Printable, IsOneLineOfBoundedLength) {
  EXPECT_EQ(printable("a\nb\tc", 100), "a b c");
  EXPECT_EQ(printable("\x1b[31m\x7f\xc2\x9b", 100), "?[31m??");
  EXPECT_EQ(printable(std::string("a\0b", 3), 100), "a?b");
  EXPECT_EQ(printable("\xff\xc3\xbc\xc3", 100), "?\xc3\xbc?");
  EXPECT_EQ(printable("\xE2\x80\xAE\xE2\x81\xA6\xE2\x80\xA8\xE2\x82\xAC", 100), "???\xE2\x82\xAC");
  EXPECT_EQ(printable("abc", 3), "abc");
  EXPECT_EQ(printable("abcd", 3), "abc...");
  EXPECT_EQ(printable("ab\xc3\xbc", 3), "ab...");  // never half a character
}

TEST(AnError, IsFitToBeShown) {
  const Error error("a\x1b", "b\nc\xff" + std::string(10000, 'x'));
  EXPECT_EQ(error.place(), "a?");
  EXPECT_EQ(error.message().substr(0, 5), "b c?x");
  EXPECT_LT(error.message().size(), 2010u);
  EXPECT_EQ(std::string(error.what()), "a?: " + error.message());
}

}  // namespace
}  // namespace thalweg
