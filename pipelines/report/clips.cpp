#include "pipelines/report/clips.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "engine/core/ceil_div.h"
#include "engine/core/file.h"
#include "engine/io/contact_sheet.h"
#include "engine/video/video_writer.h"

namespace thalweg {
namespace {

at::Tensor scaled(const at::Tensor& frames_F3HW, const ClipScale& scale) {
  if (scale.shrink > 1) return shrunk(frames_F3HW, scale.shrink);
  return frames_F3HW.repeat_interleave(scale.enlarge, 2).repeat_interleave(scale.enlarge, 3);
}

std::string mp4_of(const at::Tensor& frames_F3HW, double fps, const std::filesystem::path& scratch) {
  struct Removed {
    const std::filesystem::path& path;
    ~Removed() {
      std::error_code ignored;
      std::filesystem::remove(path, ignored);
    }
  } removed{scratch};
  write_video(scratch, frames_F3HW, frame_rate_of(fps), OddSide::pad);
  return read_file(scratch, kReportClipBytes);
}

}  // namespace

ClipScale clip_scale(int64_t height, int64_t width) {
  const auto side = std::max(height, width);
  if (side > kClipSide) return {.shrink = ceil_div(side, kClipSide)};
  return {.enlarge = std::max<int64_t>(1, kSmallClipSide / side)};
}

void add_clips(GridPair& grid, const at::Tensor& before_BF3HW, const at::Tensor& after_BF3HW, double fps,
               const std::filesystem::path& folder) {
  const auto scale = clip_scale(after_BF3HW.size(3), after_BF3HW.size(4));
  auto pairs = grid.pictures;
  const auto asked = pairs.size();
  const int64_t height = ceil_div(after_BF3HW.size(3), scale.shrink) * scale.enlarge,
                width = ceil_div(after_BF3HW.size(4), scale.shrink) * scale.enlarge;
  size_t bytes = 0, shown = 0;
  for (; shown < asked; ++shown) {
    const auto row = static_cast<int64_t>(shown);
    auto& pair = pairs[shown];
    if (before_BF3HW.defined())
      pair.before = mp4_of(scaled(before_BF3HW[row], scale), fps, folder / ".report.mp4");
    pair.after = mp4_of(scaled(after_BF3HW[row], scale), fps, folder / ".report.mp4");
    bytes += pair.before.size() + pair.after.size();
    if (bytes > kReportClipBytes && shown > 0) break;
  }
  pairs.resize(shown);
  if (scale.shrink > 1) grid.caption += " Shown at 1/" + std::to_string(scale.shrink) + " of their size.";
  if (shown < asked)
    grid.caption += " Shown are the first " + std::to_string(shown) + " of " + std::to_string(asked) +
                    " prompts, so that this page stays small; all are in the folder samples/.";
  grid.pictures = std::move(pairs);
  grid.clip_height = height, grid.clip_width = width;
}

}  // namespace thalweg
