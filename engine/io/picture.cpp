#include "engine/io/picture.h"

#include <ATen/ATen.h>

#include "engine/core/error.h"
#include "engine/core/json.h"
#include "engine/io/image.h"
#include "engine/io/jpeg.h"

namespace thalweg {
namespace {

// As exif_orientation() says it was taken: 5 to 8 lie on their side.
at::Tensor upright(const at::Tensor& rgb_3HW, int orientation) {
  const auto turned = orientation >= 5 ? rgb_3HW.transpose(1, 2) : rgb_3HW;
  switch (orientation) {
    case 2:
    case 6:
      return turned.flip({2});
    case 3:
    case 7:
      return turned.flip({1, 2});
    case 4:
    case 8:
      return turned.flip({1});
    default:
      return turned;
  }
}

at::Tensor decode_jpeg(std::string_view bytes, const std::string& place) {
  const auto damaged = [&](const std::string& problem) {
    return Error(place, "cannot be read as JPEG: " + problem);
  };
  jpeg::Header header;
  if (const auto problem = jpeg::read_header(bytes, header)) throw damaged(*problem);
  check_picture_size(header.height, header.width, kMaxReadPixels, place);
  auto bytes_HW3 = at::empty({header.height, header.width, 3}, at::kByte);
  if (const auto problem =
          jpeg::decode_rgb(bytes, header.width, header.height, bytes_HW3.mutable_data_ptr<uint8_t>()))
    throw damaged(*problem);
  const auto turned = upright(bytes_HW3.permute({2, 0, 1}), header.orientation);
  return at::empty(turned.sizes(), at::kFloat).copy_(turned).div_(255.0);
}

}  // namespace

at::Tensor decode_picture(std::string_view bytes, const std::string& place) {
  if (bytes.starts_with("\xFF\xD8")) return decode_jpeg(bytes, place);
  if (bytes.starts_with("\x89PNG")) return decode_png(bytes, place);
  throw Error(place, "is neither a PNG nor a JPEG file");
}

at::Tensor read_picture(const std::filesystem::path& path) {
  return decode_picture(read_file(path, kMaxPictureBytes), path.string());
}

}  // namespace thalweg
