#include "engine/video/worker/decode.h"

extern "C" {
#include <libavutil/avstring.h>
}

#include <vector>

#include "engine/video/worker/container.h"
#include "engine/video/worker/frame_rate.h"
#include "engine/video/worker/libav.h"
#include "engine/video/worker/rgb.h"
#include "engine/video/worker/upright.h"

namespace thalweg::video {
namespace {

constexpr const char* kCodecs = "h264,hevc,vp8,vp9,libdav1d,libaom-av1,av1,mpeg4,gif";
constexpr int64_t kRoundedPixels = int64_t{1} << 16;
constexpr size_t kMostAllocated = size_t{256} << 20;
constexpr const char* kDamaged = "cannot be decoded";

class Decoder {
 public:
  Decoder(int media, const DecodeLimits& limits, const FrameSink& sink)
      : limits_(limits),
        sink_(sink),
        container_(media, limits, kCodecs),
        stream_(container_.stream()),
        frame_(check(av_frame_alloc(), kDamaged)),
        packet_(check(av_packet_alloc(), kDamaged)) {
    open_codec();
  }

  Decoded run() {
    while (container_.next(*packet_, times_.size())) {
      check(avcodec_send_packet(codec_.get(), packet_.get()), at_frame());
      av_packet_unref(packet_.get());
      take_frames();
    }
    check(avcodec_send_packet(codec_.get(), nullptr), at_frame());
    take_frames();
    if (times_.empty()) throw Refused("holds no frame that can be decoded");
    const auto rate = rate_of(times_, stream_.time_base, stream_.avg_frame_rate);
    Decoded decoded{.frames = times_.size(), .notes = {}};
    if (rate.value.num > 0 && rate.value.den > 0) {
      decoded.rate_numerator = static_cast<uint32_t>(rate.value.num);
      decoded.rate_denominator = static_cast<uint32_t>(rate.value.den);
    }
    if (const auto shape = stream_.sample_aspect_ratio; shape.num > 0 && shape.num != shape.den)
      decoded.notes += "its pixels are not square (" + std::to_string(shape.num) + ":" +
                       std::to_string(shape.den) + "): frames are as they are stored\n";
    if (rate.varies)
      decoded.notes += "its frame rate varies: frames are taken as they are, its mean is the rate\n";
    return decoded;
  }

 private:
  void open_codec() {
    const auto* codec = avcodec_find_decoder(stream_.codecpar->codec_id);
    if (codec == nullptr || av_match_name(codec->name, kCodecs) == 0)
      throw Refused(std::string("is coded as ") + avcodec_get_name(stream_.codecpar->codec_id) +
                    ", which is not read: H.264, HEVC, VP8, VP9, AV1, MPEG-4 part 2 and GIF are");
    codec_.reset(check(avcodec_alloc_context3(codec), kDamaged));
    check(avcodec_parameters_to_context(codec_.get(), stream_.codecpar), kDamaged);
    codec_->thread_count = 1;
    // Of what it allocates, which is wider than the frame: begin() counts exactly.
    codec_->max_pixels = 2 * static_cast<int64_t>(limits_.pixels) + kRoundedPixels;
    codec_->codec_whitelist = av_strdup(kCodecs);
    codec_->pkt_timebase = stream_.time_base;
    check(avcodec_open2(codec_.get(), codec, nullptr), kDamaged);
  }

  std::string at_frame() const {
    return std::string(kDamaged) + " beyond frame " + std::to_string(times_.size());
  }

  void take_frames() {
    for (;;) {
      const int code = avcodec_receive_frame(codec_.get(), frame_.get());
      if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return;
      check(code, at_frame());
      if ((frame_->flags & AV_FRAME_FLAG_CORRUPT) != 0 || frame_->decode_error_flags != 0)
        throw Refused(at_frame() + ": it is damaged");
      take(*frame_);
      av_frame_unref(frame_.get());
    }
  }

  void take(const AVFrame& frame) {
    if (times_.empty()) begin(frame);
    if (frame.width != width_ || frame.height != height_)
      throw Refused("changes its size from " + std::to_string(width_) + " x " + std::to_string(height_) +
                    " at frame " + std::to_string(times_.size()));
    limits_.require_frames(times_.size() + 1, width_, height_);
    const auto time = frame.best_effort_timestamp;
    times_.push_back(time != AV_NOPTS_VALUE ? time : times_.empty() ? 0 : times_.back());
    limits_.require_duration(times_.front(), times_.back(), stream_.time_base);
    const auto& rgb = converter_.convert(frame);
    sink_.frame(turn_.is_none() ? rgb : turned(rgb, width_, height_, turn_));
  }

  void begin(const AVFrame& frame) {
    width_ = frame.width;
    height_ = frame.height;
    limits_.require_size(width_, height_);
    if (const auto* matrix = display_matrix(frame)) turn_ = turn_of(matrix);
    const auto wide = static_cast<uint32_t>(width_), high = static_cast<uint32_t>(height_);
    turn_.on_its_side() ? sink_.size(high, wide) : sink_.size(wide, high);
  }

  const int32_t* display_matrix(const AVFrame& frame) const {
    if (const auto* matrix = container_.display_matrix()) return matrix;
    const auto* own = av_frame_get_side_data(&frame, AV_FRAME_DATA_DISPLAYMATRIX);
    const bool whole = own != nullptr && own->size >= 9 * sizeof(int32_t);
    return whole ? reinterpret_cast<const int32_t*>(own->data) : nullptr;
  }

  const DecodeLimits limits_;
  const FrameSink& sink_;
  Container container_;
  AVStream& stream_;
  Owned<AVCodecContext> codec_;
  Owned<AVFrame> frame_;
  Owned<AVPacket> packet_;
  RgbConverter converter_;
  Turn turn_;
  int width_ = 0, height_ = 0;
  std::vector<int64_t> times_;  // in the stream's own unit
};

}  // namespace

Decoded decode(int media, const DecodeLimits& limits, const FrameSink& sink) {
  av_max_alloc(kMostAllocated);
  return Decoder(media, limits, sink).run();
}

}  // namespace thalweg::video
