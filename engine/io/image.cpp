#include "engine/io/image.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdio>

#include "engine/core/bytes.h"
#include "engine/core/error.h"
#include "engine/core/json.h"
#include "engine/io/crc32.h"
#include "engine/io/stb.h"

namespace thalweg {
namespace {

struct PngSize {
  int64_t width = 0;
  int64_t height = 0;
};

/// Length, type, data and checksum of every chunk up to IEND (PNG specification 5.3). The decoder looks at
/// neither the checksums nor at what is missing behind the last pixel.
void check_chunks(std::string_view bytes, const std::string& place) {
  constexpr size_t kAround = 12;  // length, type and checksum
  bool has_data = false;
  for (size_t at = 8;;) {
    if (bytes.size() - at < kAround) throw Error(place, "is a damaged PNG file: cut short");
    const size_t length = big_endian<uint32_t>(bytes.substr(at));
    if (length > bytes.size() - at - kAround)
      throw Error(place, "is a damaged PNG file: a chunk of " + std::to_string(length) +
                             " bytes does not fit into it");
    const auto checked = bytes.substr(at + 4, 4 + length);
    const auto type = checked.substr(0, 4);
    if (crc32(checked) != big_endian<uint32_t>(bytes.substr(at + 8 + length)))
      throw Error(place,
                  "is a damaged PNG file: the checksum of chunk \"" + printable(type, 8) + "\" is wrong");
    if (type == "IEND") return;
    // The decoder would copy nothing to a null pointer, which C does not allow.
    if (type == "IDAT" && length == 0 && !has_data)
      throw Error(place, "is a damaged PNG file: its data begin with an empty chunk");
    has_data = has_data || type == "IDAT";
    at += kAround + length;
  }
}

/// Bit depths that each colour type may have (PNG specification, table 11.1), and the methods there are.
bool is_known_form(std::string_view bytes) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const auto depth = at(24), colour = at(25);
  const bool wide = depth == 8 || depth == 16, narrow = depth == 1 || depth == 2 || depth == 4;
  const bool fits = colour == 0                                 ? narrow || wide
                    : colour == 3                               ? narrow || depth == 8
                    : colour == 2 || colour == 4 || colour == 6 ? wide
                                                                : false;
  return fits && at(26) == 0 && at(27) == 0 && at(28) <= 1;
}

// Signature (8), length and name of the first chunk (8), then width and height: PNG
// specification 5.2, 11.2.2.
PngSize header_of(std::string_view bytes, const std::string& place) {
  constexpr std::string_view kSignature("\x89PNG\r\n\x1a\n", 8);
  if (bytes.substr(0, 8) != kSignature) throw Error(place, "is not a PNG file");
  if (bytes.size() < 33 || bytes.substr(12, 4) != "IHDR")
    throw Error(place, "is a damaged PNG file: no header");
  const PngSize size{big_endian<uint32_t>(bytes.substr(16)), big_endian<uint32_t>(bytes.substr(20))};
  check_picture_size(size.height, size.width, kMaxReadPixels, place);
  if (!is_known_form(bytes))
    throw Error(place,
                "is a damaged PNG file: its header names a depth, colour type or method that PNG lacks");
  check_chunks(bytes, place);
  return size;
}

}  // namespace

void check_picture_size(int64_t height, int64_t width, int64_t max_pixels, const std::string& place) {
  if (height < 1 || width < 1 || height > kMaxImageSide || width > kMaxImageSide ||
      height * width > max_pixels)
    throw Error(place, "the picture is " + std::to_string(width) + " x " + std::to_string(height) +
                           "; each side must be 1 to " + std::to_string(kMaxImageSide) +
                           " pixels and the area at most " + std::to_string(max_pixels >> 20) + " Mpx");
}

at::Tensor eight_bit(const at::Tensor& frames) {
  if (frames.scalar_type() == at::kByte) return frames.to(at::kCPU);
  return frames.detach()
      .to(at::kCPU, at::kFloat)
      .nan_to_num(0.0)
      .clamp_(0.0, 1.0)
      .mul_(255.0)
      .round_()
      .to(at::kByte);
}

std::string encode_png(const at::Tensor& rgb_3HW) {
  if (rgb_3HW.dim() != 3 || rgb_3HW.size(0) != 3 ||
      !(rgb_3HW.is_floating_point() || rgb_3HW.scalar_type() == at::kByte))
    throw Error("", "a picture must be a tensor [3,H,W] of floats or bytes");
  check_picture_size(rgb_3HW.size(1), rgb_3HW.size(2), kMaxImagePixels, "");
  const auto bytes_HW3 = eight_bit(rgb_3HW).permute({1, 2, 0}).contiguous();
  std::string png = stb::encode_rgb(bytes_HW3.const_data_ptr<uint8_t>(), static_cast<int>(rgb_3HW.size(2)),
                                    static_cast<int>(rgb_3HW.size(1)));
  if (png.empty()) throw Error("", "the picture could not be encoded as PNG: out of memory");
  return png;
}

void write_png(const std::filesystem::path& path, const at::Tensor& rgb_3HW) {
  write_file(path, encode_png(rgb_3HW));
}

std::vector<std::filesystem::path> picture_files(const std::filesystem::path& folder, int64_t count,
                                                 int64_t frames, int64_t first) {
  std::vector<std::filesystem::path> files;
  for (int64_t i = 0; i < count; ++i)
    for (int64_t f = 0; f < frames; ++f) {
      char name[48];
      if (frames == 1)
        std::snprintf(name, sizeof name, "%05d.png", static_cast<int>(first + i));
      else
        std::snprintf(name, sizeof name, "%05d_frame%04d.png", static_cast<int>(first + i),
                      static_cast<int>(f));
      files.push_back(folder / name);
    }
  return files;
}

void write_pictures(const std::filesystem::path& folder, const at::Tensor& frames_NF3HW, int64_t first) {
  const int64_t frames = frames_NF3HW.size(1);
  const auto files = picture_files(folder, frames_NF3HW.size(0), frames, first);
  for (size_t n = 0; n < files.size(); ++n) {
    const auto at = static_cast<int64_t>(n);
    write_png(files[n], frames_NF3HW[at / frames][at % frames]);
  }
}

at::Tensor decode_png(std::string_view bytes, const std::string& place) {
  const PngSize size = header_of(bytes, place);
  auto bytes_HW3 = at::empty({size.height, size.width, 3}, at::kByte);
  const auto problem = stb::decode_rgb(bytes, static_cast<int>(size.width), static_cast<int>(size.height),
                                       bytes_HW3.data_ptr<uint8_t>());
  if (problem) throw Error(place, "is a damaged PNG file: " + *problem);
  // In place: a large picture is held as float once.
  return at::empty({3, size.height, size.width}, at::kFloat).copy_(bytes_HW3.permute({2, 0, 1})).div_(255.0);
}

at::Tensor read_png(const std::filesystem::path& path) {
  return decode_png(read_file(path, kMaxPictureBytes), path.string());
}

}  // namespace thalweg
