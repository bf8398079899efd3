// libav's objects with owners, and its ways of saying that something is wrong.
#pragma once

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>
}

#include <memory>
#include <stdexcept>
#include <string>

namespace thalweg::video {

/// What the engine is told of a file or of frames that are not taken: words for the user.
class Refused : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// From here on libav prints nothing; the first of its errors is kept.
void keep_errors();
/// "" where there was none.
const std::string& error_kept();
/// Throws Refused("<what>: <reason>") with the error that was kept, or else what `code` means.
[[noreturn]] void refuse(const std::string& what, int code);
/// Throws Refused where `code` is below 0; returns it.
inline int check(int code, const std::string& what) {
  if (code < 0) refuse(what, code);
  return code;
}
/// The same for what could not be allocated.
template <typename Pointer>
Pointer* check(Pointer* pointer, const std::string& what) {
  if (pointer == nullptr) refuse(what, AVERROR(ENOMEM));
  return pointer;
}

struct Free {
  void operator()(AVCodecContext* codec) const { avcodec_free_context(&codec); }
  void operator()(AVFrame* frame) const { av_frame_free(&frame); }
  void operator()(AVPacket* packet) const { av_packet_free(&packet); }
  void operator()(SwsContext* scaler) const { sws_freeContext(scaler); }
};
template <typename Object>
using Owned = std::unique_ptr<Object, Free>;

}  // namespace thalweg::video
