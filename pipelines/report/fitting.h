// How much of a run's pictures goes into its report: a page that a browser opens and a letter carries.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace thalweg {

inline constexpr int64_t kReportPixels = int64_t{8} << 20;  // of all pictures together: 36 MB at most
inline constexpr int64_t kReportFrames = 8;                 // of a video

/// The rule. A video is shown as at most kReportFrames frames, evenly spaced from its first to its last, in a
/// row. All pictures are made smaller by the same whole number, the smallest at which they have no more than
/// kReportPixels together; but none of 64 pixels or less. What then is too much is left out, last prompts
/// first.
struct Fitting {
  int64_t pairs = 0, frames = 1, shrink = 1;
  std::string note;  // for people: what is not as it was; empty: nothing
};

/// Of `pairs` of videos (images: frames = 1) of height x width pixels.
Fitting fitting(int64_t pairs, int64_t frames, int64_t height, int64_t width);

/// frames_F3HW as the report shows it.
std::string report_png(const at::Tensor& frames_F3HW, const Fitting& fitting);

}  // namespace thalweg
