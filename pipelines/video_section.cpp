#include "pipelines/video_section.h"

#include "engine/core/error.h"
#include "engine/video/program.h"

namespace thalweg {
namespace {

void describe_fps(Fields& f, double& fps) {
  f.number({"fps",
            "frames a second, of MP4 files and for rewards; 23.976 and 29.97 are 24000/1001 and 30000/1001"},
           fps, 0.1, 1000.0);
}

}  // namespace

void describe(Fields& f, VideoSection& video) {
  f.choice({"format", "MP4 files (H.264), PNG files of all frames, or both"}, video.format,
           {"mp4", "frames", "both"});
  describe_fps(f, video.fps);
}

void describe_rate(Fields& f, VideoSection& video) {
  f.object({"video", "samples of several frames"}, [&](Fields& v) { describe_fps(v, video.fps); });
}

void check_videos(const VideoSection& video, int64_t frames, bool writes) {
  if (frames == 1 && video != VideoSection{})
    throw Error("/video", "is read by nothing: the job's samples have one frame, and are PNG files");
  if (writes && video.writes_videos(frames)) require_video_program("/video/format");
}

}  // namespace thalweg
