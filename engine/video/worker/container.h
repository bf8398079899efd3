// The file around a video: MP4 and MOV, WebM and MKV, GIF.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/video/worker/decode_limits.h"
#include "engine/video/worker/media_file.h"

namespace thalweg::video {

struct CloseInput {
  void operator()(AVFormatContext* format) const { avformat_close_input(&format); }
};

class Container {
 public:
  /// The format is told by the first bytes, and libav is held to it; decoders to `codecs`. What the file says
  /// of its first video stream keeps to the limits, and its frames lie within it. Throws Refused.
  Container(int media, const DecodeLimits& limits, const char* codecs);

  AVStream& stream() const { return *stream_; }
  /// The next packet of the stream; false at its end. `frame`: for what is said of damage. Throws Refused.
  bool next(AVPacket& packet, size_t frame);
  /// Nine numbers; null where the file has none.
  const int32_t* display_matrix() const;

 private:
  void open(const char* codecs);
  void choose_stream(const DecodeLimits& limits);
  void require_whole() const;

  MediaFile file_;
  std::unique_ptr<AVFormatContext, CloseInput> format_;
  AVStream* stream_ = nullptr;
};

}  // namespace thalweg::video
