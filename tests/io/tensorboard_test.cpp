#include "engine/io/tensorboard.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstring>

#include "engine/core/json.h"
#include "tests/io/scratch.h"

namespace thalweg {
namespace {

std::string hex(std::string_view bytes) {
  std::string digits;
  for (char byte : bytes)
    for (int shift : {4, 0}) digits.push_back("0123456789abcdef"[(static_cast<uint8_t>(byte) >> shift) & 15]);
  return digits;
}

uint64_t word(std::string_view bytes, size_t at, size_t count) {
  uint64_t value = 0;
  for (size_t i = count; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

// The records' payloads, with the framing checked by framing them again.
std::vector<std::string> payloads(const std::filesystem::path& path) {
  const std::string bytes = read_file(path);
  std::vector<std::string> found;
  for (size_t at = 0; at < bytes.size();) {
    const auto length = static_cast<size_t>(word(bytes, at, 8));
    const std::string data = bytes.substr(at + 12, length);
    EXPECT_EQ(hex(frame_record(data)), hex(std::string_view(bytes).substr(at, length + 16)));
    found.push_back(data);
    at += length + 16;
  }
  return found;
}

// Made with tensorboard 2.21's own masked_crc32c.
TEST(FrameRecord, IsWhatTensorBoardWrites) {
  EXPECT_EQ(hex(frame_record("thalweg")), "0700000000000000bbd79f117468616c7765678aed876b");
}

TEST(EventWriter, WritesTheEventsOfTheProtobuf) {
  Scratch scratch;
  EventWriter writer(scratch.folder(), 300);
  writer.scalar("reward", 300, 0.25);
  writer.flush();
  const auto found = payloads(writer.path());
  ASSERT_EQ(found.size(), 3u);
  // wall_time (key 09) varies; the rest is fixed: step 0, then the version.
  EXPECT_EQ(found[0][0], '\x09');
  const double wall_time = std::bit_cast<double>(word(found[0], 1, 8));
  EXPECT_GT(wall_time, 1.6e9);
  EXPECT_EQ(hex(found[0].substr(9)),
            "1000"
            "1a0d" +
                hex("brain.Event:2"));
  EXPECT_EQ(hex(found[1].substr(9)),
            "10ac02"
            "3a02"
            "0801");  // session_log START at step 300
  EXPECT_EQ(hex(found[2].substr(9)),
            "10ac02"
            "2a0f"
            "0a0d"
            "0a06" +
                hex("reward") +
                "15"
                "0000803e");
}

TEST(EventWriter, GivesEachWriterAFileOfItsOwn) {
  Scratch scratch;
  EventWriter a(scratch.folder()), b(scratch.folder());
  EXPECT_NE(a.path(), b.path());
  EXPECT_NE(b.path().filename().string().find("events.out.tfevents."), std::string::npos);
  EXPECT_NE(b.path().filename().string().find(".thalweg"), std::string::npos);
}

TEST(EventWriter, NamesTheFolderThatIsNotThere) {
  EXPECT_ERROR(EventWriter("/nonexistent/run"), "/nonexistent/run");
}

}  // namespace
}  // namespace thalweg
