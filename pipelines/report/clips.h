// The clips of a run in its report: MP4 files that a browser plays.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <filesystem>

#include "pipelines/report/report.h"

namespace thalweg {

inline constexpr int64_t kClipSide = 480;       // the longer one, at most
inline constexpr int64_t kSmallClipSide = 256;  // and at least
inline constexpr size_t kReportClipBytes = size_t{16} << 20;

/// The rule. A clip is shown whole, at its rate. One of a longer side above kClipSide is made smaller by the
/// smallest whole number that brings it there; one below kSmallClipSide larger by the largest that keeps it
/// there, since MP4's colours are half as fine as its pixels. Pairs that are no longer within
/// kReportClipBytes together are left out, last prompts first; the first never is.
struct ClipScale {
  int64_t shrink = 1, enlarge = 1;
};
ClipScale clip_scale(int64_t height, int64_t width);

/// Gives the grid's pairs their clips, before_BF3HW (may be undefined) and after_BF3HW (levels or floats) by
/// row; leaves out pairs and adds to the caption as the rule says. `folder`: for a file that is there for a
/// moment. Throws Error where no clip can be made; the grid is as it was then.
void add_clips(GridPair& grid, const at::Tensor& before_BF3HW, const at::Tensor& after_BF3HW, double fps,
               const std::filesystem::path& folder);

}  // namespace thalweg
