#include "engine/io/image.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "engine/core/json.h"
#include "tests/io/scratch.h"

namespace thalweg {
namespace {

at::Tensor ramp(int64_t height, int64_t width) {
  return at::arange(3 * height * width, at::kFloat).remainder(256.0).div(255.0).view({3, height, width});
}

// 2 x 1 pixels of 16-bit RGBA, red and a half-transparent blue, written with Python's struct and zlib.
const char* const kRgba16 =
    "89504e470d0a1a0a0000000d4948445200000002000000011006000000a4b2a3c90000001549444154789c63f8ff9f01"
    "08406443c3ffff0d0c003f58077b0f1cd78c0000000049454e44ae426082";

std::string from_hex(const std::string& digits) {
  std::string bytes;
  for (size_t i = 0; i < digits.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  return bytes;
}

std::string with_word(std::string png, size_t at, uint32_t value) {
  for (size_t i = 0; i < 4; ++i) png[at + i] = static_cast<char>(value >> (24 - 8 * i));
  return png;
}

/// The checksum of the first chunk put right.
std::string with_header_checksum(const std::string& png) {
  uint32_t crc = 0xFFFFFFFFu;
  for (size_t i = 12; i < 29; ++i) {
    crc ^= static_cast<uint8_t>(png[i]);
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? 0xEDB88320u ^ (crc >> 1) : crc >> 1;
  }
  return with_word(png, 29, ~crc);
}

TEST(Image, ComesBackExactlyAtEightBits) {
  Scratch scratch;
  const auto picture_3HW = ramp(17, 31);
  write_png(scratch / "a.png", picture_3HW);
  const auto read_3HW = read_png(scratch / "a.png");
  EXPECT_EQ(read_3HW.sizes(), picture_3HW.sizes());
  EXPECT_EQ(read_3HW.scalar_type(), at::kFloat);
  EXPECT_TRUE(at::equal(read_3HW, picture_3HW));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(scratch.folder()), {}),
            1);  // no temporary left
}

TEST(Image, RoundsTiesToEvenAndClamps) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto values = at::tensor({0.5f / 255, 1.5f / 255, 2.5f / 255, -3.0f, 7.0f, nan}, at::kFloat);
  const auto read_3HW = decode_png(encode_png(values.view({1, 1, 6}).expand({3, 1, 6})), "test");
  const auto expected = (values * 255).round().clamp(0, 255).nan_to_num(0.0);
  EXPECT_TRUE(at::equal(read_3HW[1][0] * 255, expected)) << read_3HW[1][0] * 255;
}

TEST(Image, TakesOtherFloatTypesAndStrides) {
  const auto picture_3HW = ramp(8, 5);
  const auto wide = picture_3HW.to(at::kDouble).transpose(1, 2).contiguous().transpose(1, 2);
  EXPECT_EQ(encode_png(wide), encode_png(picture_3HW));
}

TEST(Image, ReadsOtherDepthsAndDropsAlpha) {
  const auto read_3HW = decode_png(from_hex(kRgba16), "p");
  const auto expected = at::tensor({255, 0, 0, 128, 0, 255}, at::kFloat).view({3, 1, 2}).div(255.0);
  EXPECT_TRUE(at::equal(read_3HW, expected)) << read_3HW;
}

TEST(Image, TakesLevelsAsTheyAre) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto picture_3HW = at::cat({ramp(8, 5), at::full({3, 1, 5}, nan), at::full({3, 1, 5}, 1.5)}, 1);
  const auto levels = eight_bit(picture_3HW);
  EXPECT_EQ(levels.scalar_type(), at::kByte);
  EXPECT_EQ(encode_png(levels), encode_png(picture_3HW));
  EXPECT_TRUE(std::isnan(picture_3HW[0][8][0].item<float>()));  // what it was given is as it was
}

TEST(Image, RefusesOtherShapes) {
  EXPECT_ERROR(encode_png(at::zeros({1, 4, 4})), "[3,H,W]");
  EXPECT_ERROR(encode_png(at::zeros({3, 4, 4}, at::kLong)), "[3,H,W]");
  EXPECT_ERROR(encode_png(at::zeros({3, 0, 4})), "1 to 8192");
  EXPECT_ERROR(encode_png(at::zeros({3, 1, 8193})), "8193");
}

TEST(Image, ChecksTheHeaderBeforeDecoding) {
  const std::string png = encode_png(ramp(4, 4));
  EXPECT_ERROR(decode_png(with_word(png, 16, 100000), "big.png"), "big.png: the picture is 100000 x 4");
  EXPECT_ERROR(decode_png(with_word(with_word(png, 16, 8192), 20, 8192 + 1), "p"), "8193");
  EXPECT_ERROR(decode_png(with_word(png, 16, 0), "p"), "0 x 4");
  EXPECT_ERROR(decode_png(with_word(png, 16, 0xFFFFFFFFu), "p"), "4294967295");
}

TEST(Image, RefusesDamagedFiles) {
  const std::string png = encode_png(ramp(40, 40));
  EXPECT_ERROR(decode_png("", "p"), "not a PNG");
  EXPECT_ERROR(decode_png("GIF89a", "p"), "not a PNG");
  EXPECT_ERROR(decode_png(png.substr(0, 20), "p"), "damaged");
  for (size_t length = 33; length + 12 < png.size(); length += 97)
    EXPECT_ERROR(decode_png(std::string_view(png).substr(0, length), "p"), "damaged");
  EXPECT_ERROR(decode_png(with_word(png, 16, 20000 / 4), "p"), "damaged");  // wider than its data
  EXPECT_ERROR(read_png("/nonexistent/a.png"), "/nonexistent/a.png");
}

TEST(Image, ChecksEveryChecksum) {
  const std::string png = encode_png(ramp(4, 4));
  for (size_t at = 16; at < png.size(); ++at) {
    auto damaged = png;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    EXPECT_ERROR(decode_png(damaged, "p"), "p: ");
  }
  EXPECT_EQ(decode_png(png + "behind the end", "p").size(1), 4);
}

TEST(Image, ReadsUpToItsOwnLimit) {
  const std::string png = encode_png(ramp(4, 4));
  EXPECT_ERROR(decode_png(with_word(with_word(png, 16, 4097), 20, 4096), "p"), "the area at most 16 Mpx");
}

// A small header before data that inflate to 12 MB: the decoder must not follow the data.
TEST(Image, StopsADeflateBomb) {
  const std::string large = encode_png(at::ones({3, 2048, 2048}));
  const std::string bomb = with_header_checksum(with_word(with_word(large, 16, 8), 20, 8));
  EXPECT_ERROR(decode_png(bomb, "bomb"), "inflate to more than its header says");
  EXPECT_EQ(decode_png(large, "large").size(1), 2048);  // the limit is lifted again
}

}  // namespace
}  // namespace thalweg
