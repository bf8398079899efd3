#include "pictures.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <new>
#include <numeric>

#include "engine/core/sha256.h"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wsign-compare"
#include <stb_image_write.h>
#pragma GCC diagnostic pop

namespace remote {
namespace {

static_assert(std::endian::native == std::endian::little, "raw frames are sent as they lie in memory");

void append(void* text, void* bytes, int size) {
  static_cast<std::string*>(text)->append(static_cast<const char*>(bytes), static_cast<size_t>(size));
}

std::string shape_of(const Pictures& p, int64_t frames) {
  return std::to_string(frames) + "x" + std::to_string(p.H) + "x" + std::to_string(p.W) + ";";
}

}  // namespace

bool Pictures::is_finite() const {
  return std::all_of(data, data + size(), [](float x) { return std::isfinite(x); });
}

std::vector<uint8_t> rgb_of(const Pictures& p, int64_t frame) {
  const int64_t pixels = p.H * p.W;
  std::vector<uint8_t> rgb(static_cast<size_t>(3 * pixels));
  for (int64_t c = 0; c < 3; ++c) {
    const float* plane = p.data + (frame * 3 + c) * pixels;
    for (int64_t i = 0; i < pixels; ++i)
      rgb[static_cast<size_t>(3 * i + c)] =
          static_cast<uint8_t>(std::nearbyint(std::clamp(plane[i], 0.0F, 1.0F) * 255.0F));
  }
  return rgb;
}

std::string png_of(const Pictures& p, int64_t frame) {
  const auto rgb = rgb_of(p, frame);
  std::string png;
  if (stbi_write_png_to_func(append, &png, static_cast<int>(p.W), static_cast<int>(p.H), 3, rgb.data(),
                             static_cast<int>(3 * p.W)) == 0)
    throw std::bad_alloc();
  return png;
}

std::string raw_of(const Pictures& p) {
  return {reinterpret_cast<const char*>(p.data), static_cast<size_t>(p.size()) * sizeof(float)};
}

std::string levels_sha256(const Pictures& p, const std::vector<int64_t>& frames) {
  thalweg::Sha256 hash;
  hash.update("levels " + shape_of(p, static_cast<int64_t>(frames.size())));
  for (const auto f : frames) {
    const auto rgb = rgb_of(p, f);
    hash.update({reinterpret_cast<const char*>(rgb.data()), rgb.size()});
  }
  return hash.hex();
}

std::string raw_sha256(const Pictures& p) {
  thalweg::Sha256 hash;
  hash.update("floats " + shape_of(p, p.F));
  hash.update({reinterpret_cast<const char*>(p.data), static_cast<size_t>(p.size()) * sizeof(float)});
  return hash.hex();
}

std::vector<int64_t> spread_frames(int64_t F, int64_t k) {
  if (k >= F) return all_frames(F);
  std::vector<int64_t> frames(static_cast<size_t>(k));
  for (int64_t i = 0; i < k; ++i)
    frames[static_cast<size_t>(i)] =
        k == 1
            ? 0
            : std::lround(static_cast<double>(i) * static_cast<double>(F - 1) / static_cast<double>(k - 1));
  return frames;
}

std::vector<int64_t> all_frames(int64_t F) {
  std::vector<int64_t> frames(static_cast<size_t>(F));
  std::iota(frames.begin(), frames.end(), 0);
  return frames;
}

}  // namespace remote
