#include "plugins/remote/url.h"

#include <gtest/gtest.h>

#include "engine/core/error.h"

namespace remote {
namespace {

TEST(Url, IsTakenApart) {
  const auto url = parse_url("https://Judge.Example.com:8443/v1/");
  EXPECT_EQ(url.scheme, "https");
  EXPECT_EQ(url.host, "judge.example.com");
  EXPECT_EQ(url.port, 8443);
  EXPECT_EQ(url.path, "/v1");
  EXPECT_FALSE(url.is_address);
  EXPECT_EQ(url.text(), "https://judge.example.com:8443/v1");
}

TEST(Url, HasThePortOfItsScheme) {
  EXPECT_EQ(parse_url("https://a.example").port, 443);
  EXPECT_EQ(parse_url("http://a.example/x").port, 80);
  EXPECT_EQ(parse_url("http://a.example").text(), "http://a.example:80");
}

TEST(Url, AddressesKeepTheirUsualForm) {
  EXPECT_TRUE(parse_url("http://127.0.0.1:1/").is_address);
  const auto v6 = parse_url("http://[::1]:9000/a");
  EXPECT_TRUE(v6.is_address);
  EXPECT_EQ(v6.host, "::1");
  EXPECT_EQ(v6.text(), "http://[::1]:9000/a");
}

class NoUrl : public ::testing::TestWithParam<const char*> {};
TEST_P(NoUrl, IsRefused) {
  EXPECT_THROW(parse_url(GetParam()), thalweg::Error) << GetParam();
}

INSTANTIATE_TEST_SUITE_P(
    All, NoUrl,
    ::testing::Values("", "judge.example", "//judge.example", "ftp://judge.example", "file:///etc/passwd",
                      "HTTPS://judge.example", "https:/judge.example", "https://", "https:///v1",
                      "https://:443/", "https://user@judge.example", "https://user:word@judge.example",
                      "https://a.example@127.0.0.1", "https://a.example?x=1", "https://a.example/?x",
                      "https://a.example/#f", "https://a.example#f", "https://a.example\\@b.example",
                      "https://a.example/a\\b", "https://a.example/a b", " https://a.example",
                      "https://a.example ", "https://a.example\n", "https://a.example/\r\nX: y",
                      "https://a.example/%2e%2e/", "https://a.example/..", "https://a.example/./a",
                      "https://a.example//b", "https://a..example", "https://.example", "https://a.example.",
                      "https://-a.example", "https://a-.example", "https://a_b.example",
                      "https://a%2eb.example", "https://\xC3\xA4.example", "https://a.example:0",
                      "https://a.example:65536", "https://a.example:-1", "https://a.example:08",
                      "https://a.example:", "https://a.example:8x", "https://a.example:80:80", "http://127.1",
                      "http://2130706433", "http://0x7f000001", "http://0x7f.0.0.1", "http://0177.0.0.1",
                      "http://127.0.0.01", "http://127.0.0.1.", "http://1.2.3", "http://256.0.0.1",
                      "http://[127.0.0.1]", "http://[::1", "http://::1", "http://[::1%25lo]",
                      "http://[::1%lo]", "http://[]", "http://[::1]a", "http://a.0x10"));

TEST(Url, LongOnesAreRefused) {
  EXPECT_THROW(parse_url("https://a.example/" + std::string(2000, 'a')), thalweg::Error);
  EXPECT_THROW(parse_url("https://" + std::string(64, 'a') + ".example"), thalweg::Error);
  EXPECT_NO_THROW(parse_url("https://" + std::string(63, 'a') + ".example"));
}

}  // namespace
}  // namespace remote
