#include "engine/video/worker/rgb.h"

extern "C" {
#include <libavutil/pixdesc.h>
}

#include <cstring>

namespace thalweg::video {
namespace {

constexpr const char* kFailed = "cannot be converted to RGB";
constexpr int kHighDefinition = 720;  // rows: below, a file that does not say it is taken for BT.601

int space_of(const AVFrame& frame) {
  switch (frame.colorspace) {
    case AVCOL_SPC_BT709:
      return SWS_CS_ITU709;
    case AVCOL_SPC_BT470BG:
    case AVCOL_SPC_SMPTE170M:
      return SWS_CS_ITU601;
    case AVCOL_SPC_BT2020_NCL:
    case AVCOL_SPC_BT2020_CL:
      return SWS_CS_BT2020;
    case AVCOL_SPC_SMPTE240M:
      return SWS_CS_SMPTE240M;
    case AVCOL_SPC_FCC:
      return SWS_CS_FCC;
    default:
      return frame.height >= kHighDefinition ? SWS_CS_ITU709 : SWS_CS_ITU601;
  }
}

}  // namespace

void RgbConverter::set_up(const AVFrame& frame) {
  if (frame.color_trc == AVCOL_TRC_SMPTE2084 || frame.color_trc == AVCOL_TRC_ARIB_STD_B67)
    throw Refused("is HDR (" + std::string(av_color_transfer_name(frame.color_trc)) +
                  "); convert it to BT.709 first");
  width_ = frame.width;
  height_ = frame.height;
  format_ = frame.format;
  space_ = space_of(frame);
  range_ = frame.color_range;
  scaler_.reset(check(
      sws_getContext(width_, height_, static_cast<AVPixelFormat>(format_), width_, height_, AV_PIX_FMT_RGB24,
                     SWS_BILINEAR | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_BITEXACT, nullptr, nullptr,
                     nullptr),
      kFailed));
  // Refused for formats that have no such thing, such as a palette.
  sws_setColorspaceDetails(scaler_.get(), sws_getCoefficients(space_), range_ == AVCOL_RANGE_JPEG ? 1 : 0,
                           sws_getCoefficients(SWS_CS_DEFAULT), 1, 0, 1 << 16, 1 << 16);
  rgb_.reset(check(av_frame_alloc(), kFailed));
  rgb_->format = AV_PIX_FMT_RGB24;
  rgb_->width = width_;
  rgb_->height = height_;
  check(av_frame_get_buffer(rgb_.get(), 0), kFailed);
  bytes_.resize(3 * static_cast<size_t>(width_) * static_cast<size_t>(height_));
}

const std::string& RgbConverter::convert(const AVFrame& frame) {
  const bool same = frame.width == width_ && frame.height == height_ && frame.format == format_ &&
                    space_of(frame) == space_ && frame.color_range == range_;
  if (!same) set_up(frame);
  check(sws_scale(scaler_.get(), frame.data, frame.linesize, 0, height_, rgb_->data, rgb_->linesize),
        kFailed);
  const auto row = 3 * static_cast<size_t>(width_);
  for (int y = 0; y < height_; ++y)
    std::memcpy(bytes_.data() + static_cast<size_t>(y) * row, rgb_->data[0] + y * rgb_->linesize[0], row);
  return bytes_;
}

}  // namespace thalweg::video
