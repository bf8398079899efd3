#include "engine/io/jpeg.h"

#include <csetjmp>
#include <cstddef>
#include <cstdio>  // jpeglib.h wants size_t and FILE

#include <jerror.h>
#include <jpeglib.h>

#include "engine/core/text.h"
#include "engine/io/exif.h"

namespace thalweg::jpeg {
namespace {

constexpr int kMaxScans = 100;  // progressive files of common encoders have ten or so
constexpr int kApp1 = JPEG_APP0 + 1;

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

/// Warnings (level -1) are of data that libjpeg replaces by guesses, but for these, which cameras write.
void refuse_guesses(j_common_ptr info, int level) {
  if (level >= 0) return;
  const int code = info->err->msg_code;
  if (code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM || code == JWRN_JFIF_MAJOR ||
      code == JWRN_TOO_MUCH_DATA)
    return;
  jump(info);
}

void count_scans(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kMaxScans) return;
  auto* manager = reinterpret_cast<ErrorManager*>(info->err);
  std::snprintf(manager->text, sizeof manager->text, "more than %d scans", kMaxScans);
  std::longjmp(manager->on_error, 1);
}

struct Decoder {
  jpeg_decompress_struct info{};
  ErrorManager errors{};
  jpeg_progress_mgr progress{};
};

/// To be called under setjmp.
void open(Decoder& d, std::string_view bytes) {
  jpeg_create_decompress(&d.info);
  d.progress.progress_monitor = count_scans;
  d.info.progress = &d.progress;
  // libjpeg only reads, and older ones have no const in their types.
  jpeg_mem_src(&d.info, reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data())),
               static_cast<unsigned long>(bytes.size()));
}

// Both hold nothing with a destructor: longjmp would skip it.

bool header_of(Decoder& d, std::string_view bytes) {
  if (setjmp(d.errors.on_error) != 0) return false;
  open(d, bytes);
  jpeg_save_markers(&d.info, kApp1, 0xFFFF);
  jpeg_read_header(&d.info, TRUE);
  return true;
}

bool pixels_of(Decoder& d, std::string_view bytes, int64_t width, int64_t height, uint8_t* rgb, bool& same) {
  if (setjmp(d.errors.on_error) != 0) return false;
  open(d, bytes);
  jpeg_read_header(&d.info, TRUE);
  same = d.info.image_width == static_cast<JDIMENSION>(width) &&
         d.info.image_height == static_cast<JDIMENSION>(height);
  if (!same) return true;
  d.info.out_color_space = JCS_RGB;
  // Coefficients of 3 colours in whole blocks, rows of them, and what a decoder needs whatever the size.
  d.info.mem->max_memory_to_use = static_cast<long>(12 * (width + 64) * (height + 64) + (int64_t{16} << 20));
  jpeg_start_decompress(&d.info);
  while (d.info.output_scanline < d.info.output_height) {
    JSAMPROW row = rgb + int64_t{d.info.output_scanline} * width * 3;
    jpeg_read_scanlines(&d.info, &row, 1);
  }
  jpeg_finish_decompress(&d.info);
  return true;
}

template <typename Read>
std::optional<std::string> guarded(Decoder& d, const Read& with) {
  d.info.err = jpeg_std_error(&d.errors.base);
  d.errors.base.error_exit = jump;
  d.errors.base.output_message = say_nothing;
  d.errors.base.emit_message = refuse_guesses;
  std::optional<std::string> problem;
  if (!with()) problem = printable(d.errors.text, JMSG_LENGTH_MAX);
  return problem;
}

}  // namespace

std::optional<std::string> read_header(std::string_view bytes, Header& header) {
  Decoder d;
  auto problem = guarded(d, [&] { return header_of(d, bytes); });
  const auto colours = d.info.jpeg_color_space;
  if (!problem && colours != JCS_GRAYSCALE && colours != JCS_YCbCr && colours != JCS_RGB)
    problem = "its " + std::to_string(d.info.num_components) +
              " channels are no RGB or grey (CMYK, of print?); convert it";
  if (!problem) {
    header.width = d.info.image_width;
    header.height = d.info.image_height;
    for (auto* marker = d.info.marker_list; marker != nullptr && header.orientation == 1;
         marker = marker->next)
      if (marker->marker == kApp1)
        header.orientation =
            exif_orientation({reinterpret_cast<const char*>(marker->data), marker->data_length});
  }
  jpeg_destroy_decompress(&d.info);
  return problem;
}

std::optional<std::string> decode_rgb(std::string_view bytes, int64_t width, int64_t height, uint8_t* rgb) {
  Decoder d;
  bool same = true;
  auto problem = guarded(d, [&] { return pixels_of(d, bytes, width, height, rgb, same); });
  jpeg_destroy_decompress(&d.info);
  if (!problem && !same) problem = "its header and contents disagree";
  return problem;
}

}  // namespace thalweg::jpeg
