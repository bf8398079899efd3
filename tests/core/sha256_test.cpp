#include "engine/core/sha256.h"

#include <gtest/gtest.h>

#include "engine/core/json.h"
#include "tests/io/scratch.h"

namespace thalweg {
namespace {

// FIPS 180-2 appendix B and RFC 6234.
TEST(Sha256, KnowsThePublishedDigests) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

// A digest of the digests of 200 lengths (every padding case), made with Python's hashlib.
TEST(Sha256, PadsEveryLength) {
  std::string digests;
  for (size_t length = 0; length < 200; ++length) {
    std::string bytes;
    for (size_t i = 0; i < length; ++i) bytes.push_back(static_cast<char>((i * 7 + length) % 256));
    digests += sha256_hex(bytes);
  }
  EXPECT_EQ(sha256_hex(digests), "b8f5d54cfd1cbbcae2003d1365d9fab7e5bc61813fa3486ee6a6a6bf38db4745");
}

TEST(Sha256, DoesNotDependOnHowTheBytesArrive) {
  const std::string bytes(1000, 'x');
  Sha256 hash;
  for (size_t at = 0, piece = 1; at < bytes.size(); at += piece, piece = piece % 97 + 1)
    hash.update(std::string_view(bytes).substr(at, piece));
  EXPECT_EQ(hash.hex(), sha256_hex(bytes));
}

TEST(Sha256, IsTheSameOnAnyProcessor) {
  if (sha256_blocks_x86() == nullptr) GTEST_SKIP() << "this processor has no SHA instructions";
  std::string bytes;
  for (size_t length = 0; length < 700; ++length) {
    bytes.push_back(static_cast<char>(length * length % 251));
    Sha256 portable(sha256_blocks_portable), x86(sha256_blocks_x86());
    portable.update(bytes);
    x86.update(bytes);
    ASSERT_EQ(portable.hex(), x86.hex()) << length;
  }
}

TEST(Sha256, OfSeveralFilesIsThatOfTheirJoin) {
  Scratch scratch;
  write_file(scratch / "a", std::string(100, 'a'));
  write_file(scratch / "b", std::string(77, 'b'));
  const auto a = scratch / "a", b = scratch / "b";
  EXPECT_EQ(sha256_files({a, b}), sha256_hex(std::string(100, 'a') + std::string(77, 'b')));
  EXPECT_NE(sha256_files({a, b}), sha256_files({b, a}));
  EXPECT_THROW(sha256_files({a, scratch / "c"}), Error);
}

TEST(Sha256, ReadsFilesInBlocks) {
  Scratch scratch;
  const std::string bytes(3 * (size_t{1} << 20) + 17, 'q');
  write_file(scratch / "f", bytes);
  EXPECT_EQ(sha256_file(scratch / "f"), sha256_hex(bytes));
  EXPECT_ERROR(sha256_file(scratch / "absent"), "absent");
}

}  // namespace
}  // namespace thalweg
