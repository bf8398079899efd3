#include "engine/io/stb.h"

#include <cstdlib>
#include <cstring>
#include <limits>

namespace {

// stb inflates until the stream ends, whatever the header promised. The largest honest block is 16-bit RGBA
// with one filter byte a row (7 passes of them where it is interlaced), doubled because stb grows its buffers
// by doubling.
thread_local size_t allocation_limit = std::numeric_limits<size_t>::max();

void* limited_realloc(void* block, size_t size) {
  return size > allocation_limit ? nullptr : std::realloc(block, size);
}

}  // namespace

#define STBI_MALLOC(size) limited_realloc(nullptr, size)
#define STBI_REALLOC(block, size) limited_realloc(block, size)
#define STBI_FREE(block) std::free(block)
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_WRITE_NO_STDIO
#define STBI_MAX_DIMENSIONS 8192
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wconversion"
#include <stb_image.h>
#include <stb_image_write.h>
#pragma GCC diagnostic pop

namespace thalweg::stb {
namespace {

void append(void* text, void* bytes, int size) {
  static_cast<std::string*>(text)->append(static_cast<const char*>(bytes), static_cast<size_t>(size));
}

// The reason may quote the name of a chunk, which is bytes of the file, zeros among them.
std::string reason() {
  const char* text = stbi_failure_reason();
  std::string printable;
  for (; text != nullptr && *text != '\0'; ++text)
    printable.push_back(*text >= ' ' && *text <= '~' ? *text : '?');
  if (printable == "outofmem") return "its data inflate to more than its header says";
  return printable.empty() ? "a chunk has no name" : printable;
}

}  // namespace

std::string encode_rgb(const uint8_t* rgb, int width, int height) {
  std::string png;
  if (stbi_write_png_to_func(append, &png, width, height, 3, rgb, width * 3) == 0) return {};
  return png;
}

std::optional<std::string> decode_rgb(std::string_view png, int width, int height, uint8_t* rgb) {
  if (png.size() > static_cast<size_t>(std::numeric_limits<int>::max())) return "larger than 2 GiB";
  const size_t picture = (size_t{8} * static_cast<size_t>(width) + 1) * static_cast<size_t>(height);
  allocation_limit = 2 * (picture + png.size()) + (size_t{1} << 20);
  int found_width = 0, found_height = 0, channels = 0;
  uint8_t* decoded =
      stbi_load_from_memory(reinterpret_cast<const uint8_t*>(png.data()), static_cast<int>(png.size()),
                            &found_width, &found_height, &channels, 3);
  allocation_limit = std::numeric_limits<size_t>::max();
  if (decoded == nullptr) return reason();
  const bool same = found_width == width && found_height == height;
  if (same) std::memcpy(rgb, decoded, static_cast<size_t>(width) * static_cast<size_t>(height) * 3);
  stbi_image_free(decoded);
  if (!same) return "its header and contents disagree";
  return std::nullopt;
}

}  // namespace thalweg::stb
