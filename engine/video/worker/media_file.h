// The file at an open descriptor, as libav reads and writes it: libav sees no path, and opens nothing.
#pragma once

#include <cstdint>

#include "engine/video/worker/libav.h"

namespace thalweg::video {

class MediaFile {
 public:
  enum class Use { read, write };

  /// `descriptor`: of a file that can be sought in; not owned. Throws Refused.
  MediaFile(int descriptor, Use use);
  ~MediaFile();
  MediaFile(const MediaFile&) = delete;
  MediaFile& operator=(const MediaFile&) = delete;

  AVIOContext* stream() const { return stream_; }
  int64_t size() const;
  int descriptor() const { return descriptor_; }

 private:
  static int read(void* file, uint8_t* bytes, int count);
#if LIBAVFORMAT_VERSION_MAJOR < 61
  static int write(void* file, uint8_t* bytes, int count);
#else
  static int write(void* file, const uint8_t* bytes, int count);
#endif
  static int64_t seek(void* file, int64_t offset, int whence);

  const int descriptor_;
  int64_t position_ = 0;  // its own: two may be on one descriptor
  AVIOContext* stream_ = nullptr;
};

}  // namespace thalweg::video
