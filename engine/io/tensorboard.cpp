#include "engine/io/tensorboard.h"

#include <bit>
#include <chrono>
#include <cstdio>

#include "engine/core/bytes.h"
#include "engine/io/crc32.h"

namespace thalweg {
namespace {

// TFRecord stores CRCs rotated and shifted, so that a CRC of data that holds CRCs stays useful.
uint32_t masked_crc(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

// Protobuf wire format: key = field << 3 | type; type 0 varint, 1 fixed64, 2 length-delimited, 5 fixed32.
std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}

std::string integer_field(uint32_t field, int64_t value) {
  return varint(field << 3) + varint(static_cast<uint64_t>(value));
}

std::string double_field(uint32_t field, double value) {
  return varint(field << 3 | 1) + little_endian_bytes(std::bit_cast<uint64_t>(value));
}

std::string float_field(uint32_t field, float value) {
  return varint(field << 3 | 5) + little_endian_bytes(std::bit_cast<uint32_t>(value));
}

std::string bytes_field(uint32_t field, std::string_view bytes) {
  return varint(field << 3 | 2).append(varint(bytes.size())).append(bytes);
}

// Event: 1 wall_time, 2 step, 3 file_version, 5 summary, 7 session_log.
constexpr uint32_t kFileVersion = 3, kSummary = 5, kSessionLog = 7;

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

AppendFile new_event_file(const std::filesystem::path& directory) {
  char name[64];
  std::snprintf(name, sizeof name, "events.out.tfevents.%010lld.thalweg",
                static_cast<long long>(wall_time()));
  // Two writers within one second get names of their own.
  auto path = directory / name;
  for (int i = 1; std::filesystem::exists(path); ++i) path = directory / (name + ("." + std::to_string(i)));
  return AppendFile(path, AppendFile::Mode::create_new);
}

}  // namespace

std::string frame_record(std::string_view data) {
  const std::string length = little_endian_bytes(static_cast<uint64_t>(data.size()));
  std::string record = length + little_endian_bytes(masked_crc(length));
  return record.append(data).append(little_endian_bytes(masked_crc(data)));
}

EventWriter::EventWriter(const std::filesystem::path& directory, std::optional<int64_t> resumed_from)
    : file_(new_event_file(directory)) {
  event(0, kFileVersion, "brain.Event:2");
  if (resumed_from) event(*resumed_from, kSessionLog, integer_field(1, 1));  // SessionLog.status = START
}

void EventWriter::scalar(const std::string& tag, int64_t step, double value) {
  // Summary.value = 1; Value: 1 tag, 2 simple_value.
  event(step, kSummary, bytes_field(1, bytes_field(1, tag) + float_field(2, static_cast<float>(value))));
}

void EventWriter::image(const std::string& tag, int64_t step, std::string_view png, int64_t width,
                        int64_t height) {
  // Value.image = 4; Image: 1 height, 2 width, 3 colorspace (3 = RGB), 4 encoded bytes.
  const std::string image =
      integer_field(1, height) + integer_field(2, width) + integer_field(3, 3) + bytes_field(4, png);
  event(step, kSummary, bytes_field(1, bytes_field(1, tag) + bytes_field(4, image)));
}

void EventWriter::flush() {
  file_.sync();
}

void EventWriter::event(int64_t step, uint32_t field, std::string_view payload) {
  file_.write(
      frame_record(double_field(1, wall_time()) + integer_field(2, step) + bytes_field(field, payload)));
}

}  // namespace thalweg
