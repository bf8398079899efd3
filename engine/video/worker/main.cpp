// thalweg-video: video files in a process of its own, without LibTorch; see ../messages.h for what it reads
// and writes. The program starts it, and it ends with the program.
//   thalweg-video encode|decode 3<>FILE
#include <fcntl.h>
#include <signal.h>

#include <cstdio>
#include <exception>
#include <new>
#include <string_view>

#include "engine/video/messages.h"
#include "engine/video/worker/confine.h"
#include "engine/video/worker/decode.h"
#include "engine/video/worker/encode.h"
#include "engine/video/worker/libav.h"

namespace {

using namespace thalweg::video;

void serve_decode(Line& line) {
  const auto first = line.receive();
  if (!first || first->tag != "READ") throw LineBroken("the first message is no READ");
  PayloadReader in(first->payload);
  const DecodeLimits limits{in.take<uint64_t>(), in.take<uint64_t>(), in.take<uint64_t>(),
                            in.take<uint64_t>()};
  const FrameSink sink{
      [&](uint32_t width, uint32_t height) {
        line.send("HEAD", thalweg::little_endian_bytes(width) + thalweg::little_endian_bytes(height));
      },
      [&](const std::string& rgb) { line.send("FRAM", rgb); }};
  const auto decoded = decode(kMedia, limits, sink);
  line.send("DONE", thalweg::little_endian_bytes(decoded.frames) +
                        thalweg::little_endian_bytes(decoded.rate_numerator) +
                        thalweg::little_endian_bytes(decoded.rate_denominator) + decoded.notes);
}

int usage() {
  std::fputs(
      "thalweg-video encodes and decodes videos for thalweg, which starts it:\n"
      "  thalweg-video encode|decode 3<>FILE\n"
      "Frames come and go on standard input and output; engine/video/README.md says how.\n",
      stderr);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc == 2 ? argv[1] : "";
  if ((mode != "encode" && mode != "decode") || ::fcntl(kMedia, F_GETFD) < 0) return usage();
  ::signal(SIGPIPE, SIG_IGN);
  keep_errors();
  confine(mode == "decode");
  Line line(0, 1, -1.0);
  try {
    try {
      mode == "encode" ? encode(line, kMedia) : serve_decode(line);
      return 0;
    } catch (const Refused& refused) {
      line.send("FAIL", refused.what());
    } catch (const std::bad_alloc&) {
      line.send("FAIL", "it takes more memory than this program may have");
    }
  } catch (const std::exception& e) {  // the program is gone, or speaks another language
    std::fprintf(stderr, "thalweg-video: %s\n", e.what());
  }
  return 1;
}
