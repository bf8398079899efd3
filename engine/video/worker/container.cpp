#include "engine/video/worker/container.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace thalweg::video {
namespace {

constexpr const char* kFailed = "cannot be decoded";
constexpr unsigned kMostStreams = 16;  // a telephone's file has up to six

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

}  // namespace

Container::Container(int media, const DecodeLimits& limits, const char* codecs)
    : file_(media, MediaFile::Use::read) {
  open(codecs);
  choose_stream(limits);
}

void Container::open(const char* codecs) {
  if (file_.size() == 0) throw Refused("is empty");
  std::array<char, 12> head{};
  const auto got = ::pread(file_.descriptor(), head.data(), head.size(), 0);
  const char* name = format_of({head.data(), static_cast<size_t>(std::max<ssize_t>(0, got))});
  if (name == nullptr) throw Refused("is no MP4, MOV, WebM, MKV or GIF file");
  format_.reset(check(avformat_alloc_context(), kFailed));
  format_->pb = file_.stream();
  format_->flags |= AVFMT_FLAG_CUSTOM_IO;
  format_->max_streams = kMostStreams;
  format_->format_whitelist = av_strdup("mov,matroska,gif");
  format_->codec_whitelist = av_strdup(codecs);
  format_->protocol_whitelist = av_strdup("");
  format_->io_open = &open_nothing;
  auto* format = format_.release();  // freed by the call where it fails
  const int code = avformat_open_input(&format, "", av_find_input_format(name), nullptr);
  format_.reset(format);
  check(code, kFailed);
}

// Its numbers are the file's own word: what follows counts again.
void Container::choose_stream(const DecodeLimits& limits) {
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
    limits.require_size(p.width, p.height);
    limits.require_frames(said, p.width, p.height);
  }
  require_whole();
  check(avformat_find_stream_info(format_.get(), nullptr), kFailed);
  limits.require_size(p.width, p.height);
  limits.require_frames(said, p.width, p.height);
  limits.require_duration(0, format_->duration == AV_NOPTS_VALUE ? 0 : format_->duration, {1, AV_TIME_BASE});
}

// libav takes a file's end for that of the video.
void Container::require_whole() const {
  const int64_t size = file_.size();
  for (int i = 0; i < avformat_index_get_entries_count(stream_); ++i) {
    const auto* entry = avformat_index_get_entry(stream_, i);
    if (entry->pos < 0 || entry->pos > size || entry->size > size - entry->pos)
      throw Refused("is cut short: frame " + std::to_string(i) + " lies beyond its end");
  }
}

bool Container::next(AVPacket& packet, size_t frame) {
  for (;;) {
    const int code = av_read_frame(format_.get(), &packet);
    if (code == AVERROR_EOF && error_kept().find("ended prematurely") == std::string::npos) return false;
    if (code < 0) refuse("is damaged or cut short beyond frame " + std::to_string(frame), code);
    if (packet.stream_index == stream_->index) {
      if ((packet.flags & AV_PKT_FLAG_CORRUPT) != 0)
        throw Refused("is damaged or cut short beyond frame " + std::to_string(frame));
      return true;
    }
    av_packet_unref(&packet);
  }
}

const int32_t* Container::display_matrix() const {
#if LIBAVCODEC_VERSION_INT < AV_VERSION_INT(60, 31, 0)
  size_t size = 0;
  const auto* bytes = av_stream_get_side_data(stream_, AV_PKT_DATA_DISPLAYMATRIX, &size);
#else
  const auto* found = av_packet_side_data_get(
      stream_->codecpar->coded_side_data, stream_->codecpar->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
  const auto* bytes = found == nullptr ? nullptr : found->data;
  const size_t size = found == nullptr ? 0 : found->size;
#endif
  const bool whole = bytes != nullptr && size >= 9 * sizeof(int32_t);
  return whole ? reinterpret_cast<const int32_t*>(bytes) : nullptr;
}

}  // namespace thalweg::video
