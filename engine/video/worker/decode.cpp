#include "engine/video/worker/decode.h"

#include <unistd.h>

extern "C" {
#include <libavutil/avstring.h>
}

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "engine/video/worker/frame_rate.h"
#include "engine/video/worker/libav.h"
#include "engine/video/worker/media_file.h"
#include "engine/video/worker/rgb.h"
#include "engine/video/worker/upright.h"

namespace thalweg::video {
namespace {

constexpr const char* kCodecs = "h264,hevc,vp8,vp9,libdav1d,libaom-av1,av1,mpeg4,gif";
constexpr unsigned kMostStreams = 16;  // a telephone's file has up to six
constexpr int64_t kRoundedPixels = int64_t{1} << 16;
constexpr size_t kMostAllocated = size_t{256} << 20;
constexpr const char* kDamaged = "cannot be decoded";

// libav's name of the format that the first bytes say; a text that names other files is none.
const char* format_of(std::string_view head) {
  if (head.starts_with("GIF87a") || head.starts_with("GIF89a")) return "gif";
  if (head.starts_with("\x1A\x45\xDF\xA3")) return "matroska";
  if (head.size() < 8) return nullptr;
  const auto box = head.substr(4, 4);
  for (const auto known : {"ftyp", "moov", "mdat", "free", "skip", "wide", "pnot"})
    if (box == known) return "mov";
  return nullptr;
}

int open_nothing(AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) {
  return AVERROR(EPERM);
}

struct CloseInput {
  void operator()(AVFormatContext* format) const { avformat_close_input(&format); }
};

class Decoder {
 public:
  Decoder(int media, const DecodeLimits& limits, const FrameSink& sink)
      : limits_(limits),
        sink_(sink),
        file_(media, MediaFile::Use::read),
        frame_(check(av_frame_alloc(), kDamaged)),
        packet_(check(av_packet_alloc(), kDamaged)) {
    open_file();
    choose_stream();
    open_codec();
  }

  Decoded run() {
    while (next_packet()) {
      check(avcodec_send_packet(codec_.get(), packet_.get()), at_frame());
      av_packet_unref(packet_.get());
      take_frames();
    }
    check(avcodec_send_packet(codec_.get(), nullptr), at_frame());
    take_frames();
    if (times_.empty()) throw Refused("holds no frame that can be decoded");
    const auto rate = rate_of(times_, stream_->time_base, stream_->avg_frame_rate);
    Decoded decoded{.frames = times_.size(), .notes = notes_};
    if (rate.value.num > 0 && rate.value.den > 0) {
      decoded.rate_numerator = static_cast<uint32_t>(rate.value.num);
      decoded.rate_denominator = static_cast<uint32_t>(rate.value.den);
    }
    if (rate.varies)
      decoded.notes += "its frame rate varies: frames are taken as they are, its mean is the rate\n";
    return decoded;
  }

 private:
  void open_file() {
    if (file_.size() == 0) throw Refused("is empty");
    std::array<char, 12> head{};
    const auto got = ::pread(file_.descriptor(), head.data(), head.size(), 0);
    const char* name = format_of({head.data(), static_cast<size_t>(std::max<ssize_t>(0, got))});
    if (name == nullptr) throw Refused("is no MP4, MOV, WebM, MKV or GIF file");
    format_.reset(check(avformat_alloc_context(), kDamaged));
    format_->pb = file_.stream();
    format_->flags |= AVFMT_FLAG_CUSTOM_IO;
    format_->max_streams = kMostStreams;
    format_->format_whitelist = av_strdup("mov,matroska,gif");
    format_->codec_whitelist = av_strdup(kCodecs);
    format_->protocol_whitelist = av_strdup("");
    format_->io_open = &open_nothing;
    auto* format = format_.release();  // freed by the call where it fails
    const int code = avformat_open_input(&format, "", av_find_input_format(name), nullptr);
    format_.reset(format);
    check(code, kDamaged);
  }

  // Its numbers are the file's own word: what follows counts again.
  void choose_stream() {
    for (unsigned i = 0; i < format_->nb_streams; ++i) {
      auto* stream = format_->streams[i];
      const bool film = stream->codecpar->codec_type == AVMEDIA_TYPE_VIDEO &&
                        (stream->disposition & AV_DISPOSITION_ATTACHED_PIC) == 0;
      if (film && stream_ == nullptr)
        stream_ = stream;
      else
        stream->discard = AVDISCARD_ALL;
    }
    if (stream_ == nullptr) throw Refused("holds no video");
    const auto& p = *stream_->codecpar;
    const auto said = static_cast<uint64_t>(std::max<int64_t>(0, stream_->nb_frames));
    if (p.width > 0 && p.height > 0) {
      require_size(p.width, p.height);
      require_frames(said, p.width, p.height);
    }
    require_whole();
    check(avformat_find_stream_info(format_.get(), nullptr), kDamaged);
    require_size(p.width, p.height);
    require_frames(said, p.width, p.height);
    require_duration(format_->duration == AV_NOPTS_VALUE ? 0 : format_->duration, {1, AV_TIME_BASE});
    if (const auto shape = stream_->sample_aspect_ratio; shape.num > 0 && shape.num != shape.den)
      notes_ += "its pixels are not square (" + std::to_string(shape.num) + ":" + std::to_string(shape.den) +
                "): frames are as they are stored\n";
  }

  // libav takes a file's end for that of the video.
  void require_whole() const {
    const int64_t size = file_.size();
    for (int i = 0; i < avformat_index_get_entries_count(stream_); ++i) {
      const auto* entry = avformat_index_get_entry(stream_, i);
      if (entry->pos < 0 || entry->pos > size || entry->size > size - entry->pos)
        throw Refused("is cut short: frame " + std::to_string(i) + " lies beyond its end");
    }
  }

  void open_codec() {
    const auto* codec = avcodec_find_decoder(stream_->codecpar->codec_id);
    if (codec == nullptr || av_match_name(codec->name, kCodecs) == 0)
      throw Refused(std::string("is coded as ") + avcodec_get_name(stream_->codecpar->codec_id) +
                    ", which is not read: H.264, HEVC, VP8, VP9, AV1, MPEG-4 part 2 and GIF are");
    codec_.reset(check(avcodec_alloc_context3(codec), kDamaged));
    check(avcodec_parameters_to_context(codec_.get(), stream_->codecpar), kDamaged);
    codec_->thread_count = 1;
    // Of what it allocates, which is wider than the frame: begin() counts exactly.
    codec_->max_pixels = 2 * static_cast<int64_t>(limits_.pixels) + kRoundedPixels;
    codec_->codec_whitelist = av_strdup(kCodecs);
    codec_->pkt_timebase = stream_->time_base;
    check(avcodec_open2(codec_.get(), codec, nullptr), kDamaged);
  }

  std::string at_frame() const {
    return std::string(kDamaged) + " beyond frame " + std::to_string(times_.size());
  }

  bool next_packet() {
    for (;;) {
      const int code = av_read_frame(format_.get(), packet_.get());
      if (code == AVERROR_EOF && error_kept().find("ended prematurely") == std::string::npos) return false;
      if (code < 0) refuse("is damaged or cut short beyond frame " + std::to_string(times_.size()), code);
      if (packet_->stream_index == stream_->index) {
        if ((packet_->flags & AV_PKT_FLAG_CORRUPT) != 0)
          throw Refused("is damaged or cut short beyond frame " + std::to_string(times_.size()));
        return true;
      }
      av_packet_unref(packet_.get());
    }
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
    require_frames(times_.size() + 1, width_, height_);
    const auto time = frame.best_effort_timestamp;
    times_.push_back(time != AV_NOPTS_VALUE ? time : times_.empty() ? 0 : times_.back() + 1);
    require_duration(times_.back() - times_.front(), stream_->time_base);
    const auto& rgb = converter_.convert(frame);
    sink_.frame(turn_.is_none() ? rgb : turned(rgb, width_, height_, turn_));
  }

  void begin(const AVFrame& frame) {
    width_ = frame.width;
    height_ = frame.height;
    require_size(width_, height_);
    if (const auto* matrix = display_matrix(frame)) turn_ = turn_of(matrix);
    const auto wide = static_cast<uint32_t>(width_), high = static_cast<uint32_t>(height_);
    turn_.on_its_side() ? sink_.size(high, wide) : sink_.size(wide, high);
  }

  const int32_t* display_matrix(const AVFrame& frame) const {
#if LIBAVCODEC_VERSION_INT < AV_VERSION_INT(60, 31, 0)
    size_t size = 0;
    const auto* bytes = av_stream_get_side_data(stream_, AV_PKT_DATA_DISPLAYMATRIX, &size);
#else
    const auto* found = av_packet_side_data_get(
        stream_->codecpar->coded_side_data, stream_->codecpar->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
    const auto* bytes = found == nullptr ? nullptr : found->data;
    const size_t size = found == nullptr ? 0 : found->size;
#endif
    if (bytes != nullptr && size >= 9 * sizeof(int32_t)) return reinterpret_cast<const int32_t*>(bytes);
    const auto* own = av_frame_get_side_data(&frame, AV_FRAME_DATA_DISPLAYMATRIX);
    return own == nullptr || own->size < 9 * sizeof(int32_t) ? nullptr
                                                             : reinterpret_cast<const int32_t*>(own->data);
  }

  void require_size(int width, int height) const {
    if (width < 1 || height < 1) throw Refused("does not say how large its frames are");
    const auto w = static_cast<uint64_t>(width), h = static_cast<uint64_t>(height);
    if (w * h > limits_.pixels)
      throw Refused("has frames of " + std::to_string(w) + " x " + std::to_string(h) + " pixels; at most " +
                    std::to_string(limits_.pixels) + " pixels are read");
  }

  void require_frames(uint64_t frames, int width, int height) const {
    if (frames > limits_.frames)
      throw Refused("has " + std::to_string(frames) + " frames or more; at most " +
                    std::to_string(limits_.frames) + " are read");
    const auto each = 3 * static_cast<uint64_t>(width) * static_cast<uint64_t>(height);
    if (frames > limits_.bytes / each)
      throw Refused("is larger than " + std::to_string(limits_.bytes >> 20) + " MiB once it is decoded");
  }

  void require_duration(int64_t time, AVRational unit) const {
    if (time > 0 && av_rescale_q(time, unit, {1, 1000}) > static_cast<int64_t>(limits_.milliseconds))
      throw Refused("plays for longer than " + std::to_string(limits_.milliseconds / 1000) + " s");
  }

  const DecodeLimits limits_;
  const FrameSink& sink_;
  MediaFile file_;
  std::unique_ptr<AVFormatContext, CloseInput> format_;
  AVStream* stream_ = nullptr;
  Owned<AVCodecContext> codec_;
  Owned<AVFrame> frame_;
  Owned<AVPacket> packet_;
  RgbConverter converter_;
  Turn turn_;
  int width_ = 0, height_ = 0;
  std::vector<int64_t> times_;  // in the stream's own unit
  std::string notes_;
};

}  // namespace

Decoded decode(int media, const DecodeLimits& limits, const FrameSink& sink) {
  av_max_alloc(kMostAllocated);
  return Decoder(media, limits, sink).run();
}

}  // namespace thalweg::video
