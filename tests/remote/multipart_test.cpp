#include "plugins/remote/multipart.h"

#include <gtest/gtest.h>

#include <random>

namespace remote {
namespace {

const std::string kType = "multipart/form-data; boundary=xyz";

std::string part(const std::string& name, const std::string& data) {
  return "--xyz\r\nContent-Disposition: form-data; name=\"" + name +
         "\"\r\nContent-Type: application/octet-stream\r\n\r\n" + data + "\r\n";
}

TEST(Multipart, IsTakenApart) {
  const std::string binary("\0\r\n--xy\r\n\xff--xyz", 14);
  const auto body = part("g0", "abc") + part("g1", binary) + part("empty", "") + "--xyz--\r\n";
  const auto parts = read_multipart(kType, body);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts.at("g0"), "abc");
  EXPECT_EQ(parts.at("g1"), binary);
  EXPECT_EQ(parts.at("empty"), "");
}

TEST(Multipart, HeadersMayBeWrittenOtherwise) {
  const std::string body =
      "--a b\r\ncontent-type: x\r\nCONTENT-DISPOSITION: form-data; filename=\"name=q\"; "
      "NAME=g0\r\n\r\nabc\r\n--a b--";
  EXPECT_EQ(read_multipart("Multipart/Form-Data; charset=x; Boundary=\"a b\"", body).at("g0"), "abc");
}

TEST(Multipart, RefusesWhatIsNotWhole) {
  const auto whole = part("g0", "abc") + "--xyz--";
  EXPECT_NO_THROW(read_multipart(kType, whole));
  for (size_t n = 0; n < whole.size(); ++n)
    EXPECT_THROW(read_multipart(kType, whole.substr(0, n)), std::runtime_error) << n;
  EXPECT_THROW(read_multipart("application/json", whole), std::runtime_error);
  EXPECT_THROW(read_multipart("multipart/form-data", whole), std::runtime_error);
  EXPECT_THROW(read_multipart("multipart/form-data; boundary=other", whole), std::runtime_error);
  EXPECT_THROW(read_multipart(kType, part("a", "1") + part("a", "2") + "--xyz--"), std::runtime_error);
  EXPECT_THROW(read_multipart(kType, "--xyz\r\nX: y\r\n\r\nabc\r\n--xyz--"), std::runtime_error);
}

TEST(Multipart, NoBytesBreakIt) {
  std::mt19937 random(3);
  const auto whole = part("g0", "abc") + part("g1", "def") + "--xyz--";
  for (int i = 0; i < 20000; ++i) {
    auto body = whole;
    for (int n = 0; n < 3; ++n) body[random() % body.size()] = static_cast<char>(random());
    try {
      for (const auto& [name, data] : read_multipart(kType, body)) ASSERT_LE(data.size(), body.size());
    } catch (const std::runtime_error&) {
    }
  }
}

}  // namespace
}  // namespace remote
