#include "engine/io/contact_sheet.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/core/ceil_div.h"
#include "engine/core/error.h"

namespace thalweg {
namespace {

constexpr int64_t kClipFrames = 4, kColumns = 8;
constexpr int64_t kPadding = 2;        // around and between pictures
constexpr int64_t kSmallestSide = 32;  // the longer one of a picture that was shrunk

// Pictures of so many pixels that stand side by side on a sheet.
int64_t most(int64_t pixels) {
  return std::max<int64_t>(1, (kMaxSheetSide - kPadding) / (pixels + kPadding));
}

}  // namespace

std::string SheetLayout::note() const {
  std::string note = shrink == 1 ? "" : "at 1/" + std::to_string(shrink) + " of their size";
  if (shown < count)
    note +=
        (note.empty() ? "" : ", ") + ("the first " + std::to_string(shown)) + " of " + std::to_string(count);
  return note;
}

SheetLayout sheet_layout(int64_t count, int64_t height, int64_t width, int64_t columns) {
  columns = std::clamp<int64_t>(columns, 1, count);
  for (int64_t shrink = 1;; ++shrink) {
    const int64_t h = ceil_div(height, shrink), w = ceil_div(width, shrink), across = most(w), down = most(h);
    const bool fits = w + 2 * kPadding <= kMaxSheetSide && h + 2 * kPadding <= kMaxSheetSide;
    if (fits && columns <= across && ceil_div(count, columns) <= down) return {count, count, columns, shrink};
    if (fits && columns <= across && ceil_div(count, across) <= down) {
      // About as wide as tall.
      const auto square =
          static_cast<int64_t>(std::sqrt(static_cast<double>(count) * static_cast<double>(h + kPadding) /
                                         static_cast<double>(w + kPadding)));
      const int64_t wide = std::clamp(square, std::max(columns, ceil_div(count, down)), across);
      return {count, count, wide, shrink};
    }
    const bool smallest = std::max(ceil_div(height, shrink + 1), ceil_div(width, shrink + 1)) < kSmallestSide;
    if (fits && smallest) {
      const int64_t wide = columns <= across && count <= columns * down ? columns : across;
      return {count, std::min(count, wide * down), wide, shrink};
    }
  }
}

at::Tensor shrunk(const at::Tensor& frames_N3HW, int64_t factor) {
  const bool levels = frames_N3HW.scalar_type() == at::kByte;
  const auto values = frames_N3HW.detach().to(at::kCPU, at::kFloat);
  const auto shown = levels ? values.div(255.0) : values.nan_to_num(0.0).clamp(0.0, 1.0);
  if (factor == 1) return shown;
  return at::avg_pool2d(shown, factor, factor, 0, /*ceil_mode=*/true, /*count_include_pad=*/false);
}

int64_t clip_frames_shown(int64_t frames) {
  return std::min(frames, kClipFrames);
}

int64_t clip_columns(int64_t frames) {
  const int64_t shown = clip_frames_shown(frames);
  return kColumns / shown * shown;
}

at::Tensor clip_frames(const at::Tensor& frames_NF3HW) {
  const int64_t shown = clip_frames_shown(frames_NF3HW.size(1)), last = frames_NF3HW.size(1) - 1;
  if (shown == 1) return frames_NF3HW.select(1, 0);
  std::vector<at::Tensor> frames_N3HW;
  for (int64_t i = 0; i < shown; ++i) frames_N3HW.push_back(frames_NF3HW.select(1, i * last / (shown - 1)));
  return at::stack(frames_N3HW, 1).flatten(0, 1);
}

at::Tensor contact_sheet(const at::Tensor& frames_N3HW, int64_t columns) {
  if (frames_N3HW.dim() != 4 || frames_N3HW.numel() == 0 || frames_N3HW.size(1) != 3)
    throw Error("", "a contact sheet needs frames [N,3,H,W], none of them 0");
  if (columns < 1) throw Error("", "a contact sheet needs columns >= 1");
  const auto layout = sheet_layout(frames_N3HW.size(0), frames_N3HW.size(2), frames_N3HW.size(3), columns);
  const int64_t height = ceil_div(frames_N3HW.size(2), layout.shrink),
                width = ceil_div(frames_N3HW.size(3), layout.shrink);
  auto sheet_3HW = at::ones({3, ceil_div(layout.shown, layout.columns) * (height + kPadding) + kPadding,
                             layout.columns * (width + kPadding) + kPadding},
                            at::kFloat);
  for (int64_t i = 0; i < layout.shown; ++i) {  // one at a time: there may be gigabytes of them
    const int64_t top = kPadding + (i / layout.columns) * (height + kPadding),
                  left = kPadding + (i % layout.columns) * (width + kPadding);
    sheet_3HW.narrow(1, top, height)
        .narrow(2, left, width)
        .copy_(shrunk(frames_N3HW.narrow(0, i, 1), layout.shrink)[0]);
  }
  return sheet_3HW;
}

}  // namespace thalweg
