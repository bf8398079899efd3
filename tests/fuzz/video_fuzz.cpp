// The program's decoder in this process, without the sandbox: what it refuses is a message to the engine.
#include <sys/mman.h>
#include <unistd.h>

#include "engine/core/descriptor.h"
#include "engine/video/worker/decode.h"
#include "engine/video/worker/libav.h"
#include "tests/fuzz/targets.h"

namespace thalweg::fuzz {

void video(std::string_view input) {
  constexpr thalweg::video::DecodeLimits kLimits{1 << 16, 64, 4 << 20, 60'000};
  thalweg::video::keep_errors();
  const Descriptor file(::memfd_create("fuzz", MFD_CLOEXEC));
  require(::write(file.get(), input.data(), input.size()) == static_cast<ssize_t>(input.size()),
          "the input is there");
  uint64_t frames = 0, pixels = 0;
  const thalweg::video::FrameSink sink{
      [&](uint32_t width, uint32_t height) { pixels = uint64_t{width} * height; },
      [&](const std::string& rgb) {
        ++frames;
        require(rgb.size() == 3 * pixels, "a frame is as large as was said");
      }};
  try {
    const auto decoded = thalweg::video::decode(file.get(), kLimits, sink);
    require(decoded.frames == frames && frames > 0, "a video has the frames that it says");
    require(decoded.rate_denominator > 0, "a rate is a fraction");
  } catch (const thalweg::video::Refused& refused) {
    require(*refused.what() != '\0', "a refusal says something");
  }
  require(pixels <= kLimits.pixels && frames <= kLimits.frames, "a video keeps to the limits");
}

}  // namespace thalweg::fuzz
