// How samples of several frames are written, and at what rate they are seen.
#pragma once

#include <cstdint>

#include "engine/core/fields.h"

namespace thalweg {

struct VideoSection {
  std::string format = "mp4";  // or "frames", "both"
  double fps = 16.0;

  /// Of samples of so many frames: as MP4 files, as PNG files.
  bool writes_videos(int64_t frames) const { return frames > 1 && format != "frames"; }
  bool writes_pictures(int64_t frames) const { return frames == 1 || format != "mp4"; }

  bool operator==(const VideoSection&) const = default;
};
void describe(Fields& fields, VideoSection& video);
/// Of jobs that write no videos: the rate alone, for rewards.
void describe_rate(Fields& fields, VideoSection& video);

/// Throws Error at /video for keys that a job of such samples does not read, or where it is to write videos
/// and thalweg-video is not there.
void check_videos(const VideoSection& video, int64_t frames, bool writes);

}  // namespace thalweg
