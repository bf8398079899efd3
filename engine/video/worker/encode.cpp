#include "engine/video/worker/encode.h"

extern "C" {
#include <libavutil/opt.h>
}

#include <algorithm>
#include <string>

#include "engine/video/worker/libav.h"
#include "engine/video/worker/media_file.h"

namespace thalweg::video {
namespace {

constexpr const char* kPreset = "faster";  // half the time of "medium" for files of the same size
constexpr double kRateFactor = 16.0;       // x264's CRF: at 18 and below a viewer sees no difference
constexpr const char* kFailed = "cannot be encoded";

struct Head {
  int width, height;
  AVRational rate;
};

Head head_of(const std::string& payload) {
  PayloadReader in(payload);
  const auto width = in.take<uint32_t>(), height = in.take<uint32_t>(), numerator = in.take<uint32_t>(),
             denominator = in.take<uint32_t>();
  const auto side = [](uint32_t n) { return n >= 2 && n <= kMaxSide && n % 2 == 0; };
  if (!side(width) || !side(height))
    throw Refused("sides must be even, from 2 to " + std::to_string(kMaxSide) + ", not " +
                  std::to_string(width) + " x " + std::to_string(height));
  const auto term = [](uint32_t n) { return n >= 1 && n <= kMaxRateTerm; };
  if (!term(numerator) || !term(denominator)) throw Refused("its frame rate is out of range");
  return {static_cast<int>(width),
          static_cast<int>(height),
          {static_cast<int>(numerator), static_cast<int>(denominator)}};
}

// The index is moved before the pictures by reading the file again.
int open_again(AVFormatContext* format, AVIOContext** stream, const char*, int flags, AVDictionary**) {
  if ((flags & AVIO_FLAG_WRITE) != 0) return AVERROR(EPERM);
  try {
    auto* file = new MediaFile(static_cast<MediaFile*>(format->opaque)->descriptor(), MediaFile::Use::read);
    *stream = file->stream();
    return 0;
  } catch (const std::exception&) {
    return AVERROR(EIO);
  }
}

int close_again(AVFormatContext*, AVIOContext* stream) {
  delete static_cast<MediaFile*>(stream->opaque);
  return 0;
}

struct FreeOutput {
  void operator()(AVFormatContext* format) const { avformat_free_context(format); }
};

class Encoder {
 public:
  Encoder(const Head& head, int media)
      : head_(head),
        file_(media, MediaFile::Use::write),
        frame_(check(av_frame_alloc(), kFailed)),
        packet_(check(av_packet_alloc(), kFailed)) {
    const auto* codec = avcodec_find_encoder_by_name("libx264");
    if (codec == nullptr)
      throw Refused("this libavcodec has no libx264; install the distribution's own libavcodec");
    codec_.reset(check(avcodec_alloc_context3(codec), kFailed));
    set_up_codec();
    check(avcodec_open2(codec_.get(), codec, nullptr), kFailed);
    set_up_file();
    set_up_frame();
  }

  void add(const std::string& rgb) {
    if (rgb.size() != static_cast<size_t>(head_.width) * static_cast<size_t>(head_.height) * 3)
      throw Refused("a frame has another size than the first message says");
    check(av_frame_make_writable(frame_.get()), kFailed);
    const auto* bytes = reinterpret_cast<const uint8_t*>(rgb.data());
    const int stride = 3 * head_.width;
    check(sws_scale(scaler_.get(), &bytes, &stride, 0, head_.height, frame_->data, frame_->linesize),
          kFailed);
    frame_->pts = frames_++;
    check(avcodec_send_frame(codec_.get(), frame_.get()), kFailed);
    write_packets();
  }

  uint64_t finish() {
    if (frames_ == 0) throw Refused("a video needs at least one frame");
    check(avcodec_send_frame(codec_.get(), nullptr), kFailed);
    write_packets();
    check(av_write_trailer(format_.get()), kFailed);
    avio_flush(file_.stream());
    check(file_.stream()->error, kFailed);
    return static_cast<uint64_t>(frames_);
  }

 private:
  // One thread, and no choice that depends on the processor: x264's decisions change with both.
  void set_up_codec() {
    auto& c = *codec_;
    c.width = head_.width;
    c.height = head_.height;
    c.pix_fmt = AV_PIX_FMT_YUV420P;
    c.framerate = head_.rate;
    c.time_base = av_inv_q(head_.rate);
    c.thread_count = 1;
    c.flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
    c.color_range = AVCOL_RANGE_MPEG;
    c.colorspace = AVCOL_SPC_BT709;
    c.color_primaries = AVCOL_PRI_BT709;
    c.color_trc = AVCOL_TRC_BT709;
    check(av_opt_set(c.priv_data, "preset", kPreset, 0), kFailed);
    check(av_opt_set_double(c.priv_data, "crf", kRateFactor, 0), kFailed);
    check(av_opt_set(c.priv_data, "x264-params", "cpu-independent=1:lookahead-threads=1", 0), kFailed);
  }

  void set_up_file() {
    AVFormatContext* format = nullptr;
    check(avformat_alloc_output_context2(&format, nullptr, "mp4", nullptr), kFailed);
    format_.reset(format);
    format_->pb = file_.stream();
    format_->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_BITEXACT;
    format_->opaque = &file_;
    format_->io_open = &open_again;
    format_->io_close2 = &close_again;
    stream_ = check(avformat_new_stream(format_.get(), nullptr), kFailed);
    stream_->time_base = codec_->time_base;
    stream_->avg_frame_rate = head_.rate;
    check(avcodec_parameters_from_context(stream_->codecpar, codec_.get()), kFailed);
    AVDictionary* options = nullptr;
    av_dict_set(&options, "movflags", "+faststart", 0);
    const int code = avformat_write_header(format_.get(), &options);
    av_dict_free(&options);
    check(code, kFailed);
  }

  void set_up_frame() {
    frame_->format = codec_->pix_fmt;
    frame_->width = head_.width;
    frame_->height = head_.height;
    check(av_frame_get_buffer(frame_.get(), 0), kFailed);
    scaler_.reset(
        check(sws_getContext(head_.width, head_.height, AV_PIX_FMT_RGB24, head_.width, head_.height,
                             codec_->pix_fmt, SWS_AREA | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INP | SWS_BITEXACT,
                             nullptr, nullptr, nullptr),
              kFailed));
    const int* bt709 = sws_getCoefficients(SWS_CS_ITU709);
    sws_setColorspaceDetails(scaler_.get(), bt709, 1, bt709, 0, 0, 1 << 16, 1 << 16);
  }

  void write_packets() {
    for (;;) {
      const int code = avcodec_receive_packet(codec_.get(), packet_.get());
      if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return;
      check(code, kFailed);
      packet_->duration = 1;
      packet_->stream_index = stream_->index;
      av_packet_rescale_ts(packet_.get(), codec_->time_base, stream_->time_base);
      check(av_interleaved_write_frame(format_.get(), packet_.get()), kFailed);
    }
  }

  const Head head_;
  MediaFile file_;
  std::unique_ptr<AVFormatContext, FreeOutput> format_;
  AVStream* stream_ = nullptr;
  Owned<AVCodecContext> codec_;
  Owned<SwsContext> scaler_;
  Owned<AVFrame> frame_;
  Owned<AVPacket> packet_;
  int64_t frames_ = 0;
};

}  // namespace

void encode(Line& line, int media) {
  const auto first = line.receive();
  if (!first || first->tag != "HEAD") throw LineBroken("the first message is no HEAD");
  Encoder encoder(head_of(first->payload), media);
  for (;;) {
    const auto message = line.receive();
    if (!message) return;  // given up
    if (message->tag == "DONE") break;
    if (message->tag != "FRAM") throw LineBroken("unknown message " + message->tag);
    encoder.add(message->payload);
  }
  line.send("DONE", little_endian_bytes(encoder.finish()));
}

}  // namespace thalweg::video
