// Frames on their way to a server: what they hold, as it is sent, and its name in the cache.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace remote {

/// F frames of one sample: float32 [F,3,H,W] in [0,1], dense, borrowed.
struct Pictures {
  const float* data = nullptr;
  int64_t F = 0, H = 0, W = 0;

  int64_t size() const { return 3 * F * H * W; }
  bool is_finite() const;
};

/// A frame as 8-bit RGB rows [H,W,3], to the nearest of 256 levels (ties to even) and clamped.
std::vector<uint8_t> rgb_of(const Pictures& pictures, int64_t frame);
/// The same as a PNG file. Throws std::bad_alloc.
std::string png_of(const Pictures& pictures, int64_t frame);
/// All frames as float32, lowest byte first.
std::string raw_of(const Pictures& pictures);

/// sha256 of the shape and of what is sent: 8-bit levels of these frames, or floats.
std::string levels_sha256(const Pictures& pictures, const std::vector<int64_t>& frames);
std::string raw_sha256(const Pictures& pictures);

/// min(k, F) indices from the first to the last frame, evenly, each rounded to the nearest.
std::vector<int64_t> spread_frames(int64_t F, int64_t k);
std::vector<int64_t> all_frames(int64_t F);

}  // namespace remote
