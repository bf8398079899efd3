#include "encoder.h"

#include <csetjmp>
#include <cstddef>
#include <cstdio>  // jpeglib.h wants size_t and FILE
#include <limits>
#include <stdexcept>
#include <string>

#include <jpeglib.h>

namespace jpeg {
namespace {

/// libjpeg's own handler ends the process, and no exception may cross its C frames: so errors jump.
struct ErrorManager {
  jpeg_error_mgr base;  // first: libjpeg knows this part alone
  std::jmp_buf on_error;
  char text[JMSG_LENGTH_MAX];
};

[[noreturn]] void jump(j_common_ptr info) {
  auto* manager = reinterpret_cast<ErrorManager*>(info->err);
  info->err->format_message(info, manager->text);
  std::longjmp(manager->on_error, 1);
}

void say_nothing(j_common_ptr) {}
void ignore_warning(j_common_ptr, int) {}

struct Counter {
  jpeg_destination_mgr base;  // first, as above
  std::int64_t bytes;
  JOCTET buffer[16384];
};

void start(j_compress_ptr info) {
  auto* counter = reinterpret_cast<Counter*>(info->dest);
  counter->bytes = 0;
  counter->base.next_output_byte = counter->buffer;
  counter->base.free_in_buffer = sizeof counter->buffer;
}

boolean take_full_buffer(j_compress_ptr info) {
  auto* counter = reinterpret_cast<Counter*>(info->dest);
  counter->bytes += static_cast<std::int64_t>(sizeof counter->buffer);
  counter->base.next_output_byte = counter->buffer;
  counter->base.free_in_buffer = sizeof counter->buffer;
  return TRUE;
}

void take_rest(j_compress_ptr info) {
  auto* counter = reinterpret_cast<Counter*>(info->dest);
  counter->bytes += static_cast<std::int64_t>(sizeof counter->buffer - counter->base.free_in_buffer);
}

struct Picture {
  const unsigned char* rgb;
  JDIMENSION width, height;
};

/// False when libjpeg gave up, with its words in errors.text. Holds nothing with a destructor: longjmp would
/// skip it.
bool compress(jpeg_compress_struct& info, ErrorManager& errors, Counter& counter, const Picture& picture,
              int quality, Subsampling subsampling) {
  info.err = jpeg_std_error(&errors.base);
  errors.base.error_exit = jump;
  errors.base.output_message = say_nothing;
  errors.base.emit_message = ignore_warning;
  if (setjmp(errors.on_error) != 0) return false;
  jpeg_create_compress(&info);
  counter.base.init_destination = start;
  counter.base.empty_output_buffer = take_full_buffer;
  counter.base.term_destination = take_rest;
  info.dest = &counter.base;
  info.image_width = picture.width;
  info.image_height = picture.height;
  info.input_components = 3;
  info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, quality, TRUE);
  info.comp_info[0].h_samp_factor = subsampling[0];
  info.comp_info[0].v_samp_factor = subsampling[1];
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    // libjpeg reads rows and has no const in its types.
    auto* row = const_cast<JSAMPROW>(picture.rgb) + std::size_t{info.next_scanline} * picture.width * 3;
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  return true;
}

}  // namespace

std::int64_t encoded_size(const std::vector<unsigned char>& rgb, std::int64_t width, std::int64_t height,
                          int quality, Subsampling subsampling) {
  constexpr std::int64_t kMost = std::numeric_limits<JDIMENSION>::max();
  if (width < 1 || height < 1 || width > kMost || height > kMost ||
      rgb.size() / 3 / static_cast<std::size_t>(width) != static_cast<std::size_t>(height))
    throw std::invalid_argument("the picture's bytes are not its width times its height times 3");
  jpeg_compress_struct info{};
  ErrorManager errors{};
  Counter counter{};
  const Picture picture{rgb.data(), static_cast<JDIMENSION>(width), static_cast<JDIMENSION>(height)};
  const bool done = compress(info, errors, counter, picture, quality, subsampling);
  jpeg_destroy_compress(&info);
  if (!done) throw std::runtime_error(std::string("libjpeg: ") + errors.text);
  return counter.bytes;
}

}  // namespace jpeg
