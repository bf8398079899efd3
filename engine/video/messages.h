// The line between the engine and thalweg-video, on the program's standard input and output; the media file
// is at descriptor kMedia. A message is a tag of four letters, the length of its payload in eight bytes, and
// the payload; whole numbers are unsigned and little-endian, texts UTF-8, pictures RGB rows of 8 bit.
//
//   thalweg-video encode               frames in, an MP4 file out, at kMedia
//     <- HEAD  u32 width, height, rate numerator, rate denominator
//     <- FRAM  height * width * 3 bytes, for each frame
//     <- DONE
//     -> DONE  u64 frames                  the file is whole
//   thalweg-video decode               a file at kMedia in, frames out
//     <- READ  u64 most pixels of a frame, frames, bytes of all frames, milliseconds of play
//     -> HEAD  u32 width, height           upright
//     -> FRAM  height * width * 3 bytes, for each frame, in the order of play
//     -> DONE  u64 frames, u32 rate numerator, rate denominator, then a text: notes, one a line
//   both, at any time
//     -> FAIL  a text                      why it is refused; nothing follows
//
// Of the C++ library alone: the program is built without LibTorch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "engine/core/bytes.h"

namespace thalweg::video {

inline constexpr int kMedia = 3;
inline constexpr uint64_t kMaxPayload = uint64_t{1} << 30;
inline constexpr uint32_t kMaxSide = 8192, kMaxRateTerm = 1000000;

struct Message {
  std::string tag, payload;
};

/// The other end is gone, or took too long, or what it said cannot be read.
class LineBroken : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Both ends of the line have one; descriptors are not owned. `seconds` of silence break it; below 0: none
/// do.
class Line {
 public:
  Line(int in, int out, double seconds) : in_(in), out_(out), seconds_(seconds) {}

  void send(std::string_view tag, std::string_view payload);
  /// Nothing where the other end has closed. A payload above `most_bytes` breaks the line.
  std::optional<Message> receive(uint64_t most_bytes = kMaxPayload);
  /// Whether a message, or the end, can be read within so many seconds.
  bool has_news(double seconds) const;

 private:
  void write(std::string_view bytes);
  size_t read(char* bytes, size_t count);  // fewer: closed

  const int in_, out_;
  const double seconds_;
};

/// Whole numbers one after the other, as payloads hold them.
class PayloadReader {
 public:
  explicit PayloadReader(std::string_view payload) : rest_(payload) {}
  template <std::unsigned_integral Unsigned>
  Unsigned take() {
    if (rest_.size() < sizeof(Unsigned)) throw LineBroken("a message is too short");
    const auto value = little_endian<Unsigned>(rest_);
    rest_.remove_prefix(sizeof(Unsigned));
    return value;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

}  // namespace thalweg::video
