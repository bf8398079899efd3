#include "pipelines/report/html.h"
#include "pipelines/report/format.h"

#include <gtest/gtest.h>

#include <cmath>

#include "pipelines/report/report.h"

namespace thalweg {
namespace {

TEST(Escape, DisarmsMarkup) {
  EXPECT_EQ(html::escape("<img src=x onerror=\"a('b')\"> & co"),
            "&lt;img src=x onerror=&quot;a(&#39;b&#39;)&quot;&gt; &amp; co");
}

TEST(Escape, KeepsTextOfAllLanguages) {
  for (const char* text : {"\u00e9t\u00e9", "\u65e5\u672c\u8a9e", "\U0001F600", "a\nb\tc"})
    EXPECT_EQ(html::escape(text), text);
}

TEST(Escape, ReplacesWhatIsNotUtf8) {
  const std::string mark = "\xEF\xBF\xBD";
  EXPECT_EQ(html::escape("a\xff"), "a" + mark);
  EXPECT_EQ(html::escape("\xc0\xaf"), mark + mark);             // overlong '/'
  EXPECT_EQ(html::escape("\xed\xa0\x80"), mark + mark + mark);  // a surrogate
  EXPECT_EQ(html::escape("\xf4\x90\x80\x80"), mark + mark + mark + mark);
  EXPECT_EQ(html::escape("\xe2\x82"), mark + mark);  // cut short
  EXPECT_EQ(html::escape(std::string_view("\0\x1b", 2)), mark + mark);
}

TEST(PngUri, TakesPngAlone) {
  EXPECT_EQ(html::png_uri("<svg onload=alert(1)>"), "");
  EXPECT_EQ(html::png_size("").width, 0);
}

TEST(FormatNumber, KeepsAFewDigits) {
  EXPECT_EQ(format_number(0.8613), "0.861");
  EXPECT_EQ(format_number(-12.345), "-12.35");
  EXPECT_EQ(format_number(0.0), "0");
  EXPECT_EQ(format_number(0.00042), "0.00042");
  EXPECT_EQ(format_number(1.234e-7), "1.23e-07");
  EXPECT_EQ(format_number(12345.6), "12346");
  EXPECT_EQ(format_number(std::nan("")), "-");
}

TEST(FormatDuration, ReadsAsAClockDoes) {
  EXPECT_EQ(format_duration(0.04), "0.0 s");
  EXPECT_EQ(format_duration(59.6), "1 min 00 s");
  EXPECT_EQ(format_duration(187), "3 min 07 s");
  EXPECT_EQ(format_duration(7500), "2 h 05 min");
  EXPECT_EQ(format_duration(-1), "-");
}

}  // namespace
}  // namespace thalweg
