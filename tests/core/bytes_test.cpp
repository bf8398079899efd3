#include "engine/core/bytes.h"

#include <gtest/gtest.h>

#include "engine/core/base64.h"

namespace thalweg {
namespace {

TEST(Bytes, HaveBothOrders) {
  const std::string_view bytes("\x01\x02\x83\x04\x05\x06\x07\xf8\xff", 9);
  EXPECT_EQ(big_endian<uint32_t>(bytes), 0x01028304u);
  EXPECT_EQ(little_endian<uint32_t>(bytes), 0x04830201u);
  EXPECT_EQ(big_endian<uint64_t>(bytes), 0x01028304050607f8u);
  EXPECT_EQ(little_endian<uint64_t>(bytes), 0xf807060504830201u);
  EXPECT_EQ(little_endian_bytes(uint32_t{0x04830201}), bytes.substr(0, 4));
  EXPECT_EQ(little_endian_bytes(uint64_t{1}), std::string_view("\x01\0\0\0\0\0\0\0", 8));
}

// RFC 4648, section 10.
TEST(Base64, KnowsThePublishedVectors) {
  for (const auto& [bytes, text] :
       std::vector<std::pair<std::string, std::string>>{{"", ""},
                                                        {"f", "Zg=="},
                                                        {"fo", "Zm8="},
                                                        {"foo", "Zm9v"},
                                                        {"foobar", "Zm9vYmFy"},
                                                        {"\xff\xef\xfe", "/+/+"}}) {
    EXPECT_EQ(encode_base64(bytes), text);
    EXPECT_EQ(decode_base64(text), bytes);
  }
}

TEST(Base64, RefusesWhatIsNone) {
  for (const char* text : {"Zg", "Zg=", "Zg==Zg==", "Z===", "Zm9v!m9v", "Zm 9", "Zm9-"})
    EXPECT_EQ(decode_base64(text), std::nullopt) << text;
}

}  // namespace
}  // namespace thalweg
