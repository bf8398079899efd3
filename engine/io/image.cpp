#include "engine/io/image.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "engine/core/error.h"
#include "engine/core/json.h"
#include "engine/io/stb.h"

namespace thalweg {
namespace {

constexpr size_t kMaxPngBytes = size_t{512} << 20;

struct PngSize {
  int64_t width = 0;
  int64_t height = 0;
};

uint32_t big_endian(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

void check_size(int64_t height, int64_t width, const std::string& place) {
  if (height < 1 || width < 1 || height > kMaxImageSide || width > kMaxImageSide ||
      height * width > kMaxImagePixels)
    throw Error(place, "the picture is " + std::to_string(width) + " x " + std::to_string(height) +
                           "; each side must be 1 to " + std::to_string(kMaxImageSide) +
                           " pixels and the area at most " + std::to_string(kMaxImagePixels >> 20) + " Mpx");
}

// Signature (8), length and name of the first chunk (8), then width and height: PNG
// specification 5.2, 11.2.2.
PngSize header_of(std::string_view bytes, const std::string& place) {
  constexpr std::string_view kSignature("\x89PNG\r\n\x1a\n", 8);
  if (bytes.substr(0, 8) != kSignature) throw Error(place, "is not a PNG file");
  if (bytes.size() < 33 || bytes.substr(12, 4) != "IHDR")
    throw Error(place, "is a damaged PNG file: no header");
  const PngSize size{big_endian(bytes, 16), big_endian(bytes, 20)};
  check_size(size.height, size.width, place);
  return size;
}

}  // namespace

std::string encode_png(const at::Tensor& rgb_3HW) {
  if (rgb_3HW.dim() != 3 || rgb_3HW.size(0) != 3 || !rgb_3HW.is_floating_point())
    throw Error("", "a picture must be a float tensor [3,H,W]");
  check_size(rgb_3HW.size(1), rgb_3HW.size(2), "");
  const auto bytes_HW3 = rgb_3HW.detach()
                             .to(at::kCPU, at::kFloat)
                             .nan_to_num(0.0)
                             .clamp(0.0, 1.0)
                             .mul(255.0)
                             .round()
                             .to(at::kByte)
                             .permute({1, 2, 0})
                             .contiguous();
  std::string png = stb::encode_rgb(bytes_HW3.const_data_ptr<uint8_t>(), static_cast<int>(rgb_3HW.size(2)),
                                    static_cast<int>(rgb_3HW.size(1)));
  if (png.empty()) throw Error("", "the picture could not be encoded as PNG: out of memory");
  return png;
}

void write_png(const std::filesystem::path& path, const at::Tensor& rgb_3HW) {
  write_file(path, encode_png(rgb_3HW));
}

at::Tensor decode_png(std::string_view bytes, const std::string& place) {
  const PngSize size = header_of(bytes, place);
  auto bytes_HW3 = at::empty({size.height, size.width, 3}, at::kByte);
  const auto problem = stb::decode_rgb(bytes, static_cast<int>(size.width), static_cast<int>(size.height),
                                       bytes_HW3.data_ptr<uint8_t>());
  if (problem) throw Error(place, "is a damaged PNG file: " + *problem);
  return bytes_HW3.permute({2, 0, 1}).to(at::kFloat).div(255.0).contiguous();
}

at::Tensor read_png(const std::filesystem::path& path) {
  return decode_png(read_file(path, kMaxPngBytes), path.string());
}

at::Tensor image_grid(const at::Tensor& frames_N3HW, int64_t columns, int64_t padding, int64_t scale) {
  if (frames_N3HW.dim() != 4 || frames_N3HW.size(0) < 1 || frames_N3HW.size(1) != 3)
    throw Error("", "a contact sheet needs frames [N,3,H,W] with N >= 1");
  if (columns < 1 || padding < 0 || scale < 1 || scale > 64 || padding > 1024)
    throw Error("", "a contact sheet needs columns >= 1, padding 0 to 1024 and scale 1 to 64");
  const int64_t count = frames_N3HW.size(0);
  columns = std::min(columns, count);
  const int64_t rows = (count + columns - 1) / columns;
  const auto large_N3HW =
      frames_N3HW.detach().to(at::kCPU, at::kFloat).repeat_interleave(scale, 2).repeat_interleave(scale, 3);
  const int64_t cell_height = large_N3HW.size(2) + padding, cell_width = large_N3HW.size(3) + padding;
  auto sheet_3HW = at::ones({3, rows * cell_height + padding, columns * cell_width + padding}, at::kFloat);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t top = padding + (i / columns) * cell_height, left = padding + (i % columns) * cell_width;
    sheet_3HW.narrow(1, top, large_N3HW.size(2)).narrow(2, left, large_N3HW.size(3)).copy_(large_N3HW[i]);
  }
  return sheet_3HW;
}

}  // namespace thalweg
