// PNG in and out (stb). Pictures are float32 tensors [3,H,W] in [0,1]; what is written may
// be levels of 8 bit instead, a quarter of the memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace thalweg {

inline constexpr int64_t kMaxImageSide = 8192;
inline constexpr int64_t kMaxImagePixels = int64_t{64} << 20;  // written
inline constexpr int64_t kMaxReadPixels = int64_t{16} << 20;   // read: memory stays below 0.5 GB

/// Of a file that is read: 16 Mpx of 16-bit RGBA that do not compress, and some room.
inline constexpr size_t kMaxPictureBytes = size_t{144} << 20;

/// Throws Error(place, ...) for a side outside of 1 to kMaxImageSide, or more pixels.
void check_picture_size(int64_t height, int64_t width, int64_t max_pixels, const std::string& place);

/// The levels 0 to 255 (uint8, on the CPU) of frames of any shape, float type and device: clamped to [0,1]
/// and rounded to the nearest of 255 steps, ties to even, as diffusers does; NaN becomes 0. Levels stay as
/// they are.
at::Tensor eight_bit(const at::Tensor& frames);

/// 8-bit RGB PNG of eight_bit(rgb_3HW). Throws Error("", ...) for another shape or a picture above the
/// limits.
std::string encode_png(const at::Tensor& rgb_3HW);

/// Writes encode_png(rgb_3HW) through a temporary file. Throws Error naming the path.
void write_png(const std::filesystem::path& path, const at::Tensor& rgb_3HW);

/// The files of `count` samples of so many frames, the first of which is number `first`: 00007.png, or
/// 00007_frame0003.png where samples have several frames.
std::vector<std::filesystem::path> picture_files(const std::filesystem::path& folder, int64_t count,
                                                 int64_t frames, int64_t first);

/// Every frame as a file of its own, see picture_files().
void write_pictures(const std::filesystem::path& folder, const at::Tensor& frames_NF3HW, int64_t first = 0);

/// Decodes PNG bytes (any colour type and depth; alpha is dropped; of an animation the first picture) to
/// [3,H,W] float32. The size in the header is checked against kMaxReadPixels, and every chunk's length and
/// checksum, before anything is decoded; memory is capped by that size. Bytes after the last chunk are passed
/// over. Throws Error(place, ...) for anything but a whole PNG.
at::Tensor decode_png(std::string_view bytes, const std::string& place);

/// decode_png of a file. Throws Error naming the path.
at::Tensor read_png(const std::filesystem::path& path);

}  // namespace thalweg
