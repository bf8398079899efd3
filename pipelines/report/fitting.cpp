#include "pipelines/report/fitting.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "engine/core/ceil_div.h"
#include "engine/io/contact_sheet.h"
#include "engine/io/image.h"

namespace thalweg {
namespace {

constexpr int64_t kSmallestSide = 64;  // the longer one of a frame that is made smaller

std::string note_of(const Fitting& shown, int64_t pairs, int64_t frames) {
  std::string note;
  const auto add = [&](bool when, const std::string& text) {
    if (when) note += (note.empty() ? "Shown " : ", ") + text;
  };
  add(shown.shrink > 1, "at 1/" + std::to_string(shown.shrink) + " of their size");
  add(shown.frames < frames, std::to_string(shown.frames) + " of " + std::to_string(frames) + " frames");
  add(shown.pairs < pairs,
      "the first " + std::to_string(shown.pairs) + " of " + std::to_string(pairs) + " prompts");
  return note.empty() ? note : note + ", so that this page stays small; all are in the folder samples/.";
}

}  // namespace

Fitting fitting(int64_t pairs, int64_t frames, int64_t height, int64_t width) {
  Fitting shown{pairs, std::min(frames, kReportFrames), 1, {}};
  // One row of a sheet.
  if (shown.frames > 1) shown.shrink = sheet_layout(shown.frames, height, width, shown.frames).shrink;
  const auto pixels = [&] {
    return 2 * shown.frames * ceil_div(height, shown.shrink) * ceil_div(width, shown.shrink);
  };
  while (pairs * pixels() > kReportPixels &&
         std::max(ceil_div(height, shown.shrink + 1), ceil_div(width, shown.shrink + 1)) >= kSmallestSide)
    ++shown.shrink;
  shown.pairs = std::min(pairs, std::max<int64_t>(1, kReportPixels / pixels()));
  shown.note = note_of(shown, pairs, frames);
  return shown;
}

std::string report_png(const at::Tensor& frames_F3HW, const Fitting& fitting) {
  if (fitting.frames == 1) return encode_png(shrunk(frames_F3HW.narrow(0, 0, 1), fitting.shrink)[0]);
  const int64_t last = frames_F3HW.size(0) - 1, steps = fitting.frames - 1;
  std::vector<at::Tensor> frames;
  for (int64_t i = 0; i <= steps; ++i)
    frames.push_back(shrunk(frames_F3HW.narrow(0, i * last / steps, 1), fitting.shrink));
  return encode_png(contact_sheet(at::cat(frames), fitting.frames));
}

}  // namespace thalweg
