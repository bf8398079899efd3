#include "engine/video/video_writer.h"

#include <ATen/ATen.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>

#include "engine/core/error.h"
#include "engine/io/image.h"

namespace thalweg {
namespace {

constexpr double kPatience_s = 120.0;  // for one frame, on a busy machine
constexpr size_t kBlock = size_t{1} << 20;

std::string size_text(int64_t height, int64_t width) {
  return std::to_string(width) + " x " + std::to_string(height);
}

int64_t even(int64_t side) {
  return side + side % 2;
}

// The file as it grows: libav goes back in it, and a name that others see is given to a whole file only.
Descriptor in_memory(const std::filesystem::path& path) {
  Descriptor file(::memfd_create("thalweg-video", MFD_CLOEXEC));
  if (file.get() < 0) throw_io_error(path, "cannot be written", errno);
  return file;
}

void require_size(const std::filesystem::path& path, int64_t height, int64_t width, OddSide odd) {
  const auto possible = [](int64_t side) { return side >= 1 && side <= int64_t{video::kMaxSide}; };
  if (!possible(height) || !possible(width))
    throw Error(path.string(), "a video has sides from 2 to " + std::to_string(video::kMaxSide) + ", not " +
                                   size_text(height, width));
  if (odd == OddSide::refuse && (height % 2 != 0 || width % 2 != 0))
    throw Error(path.string(), "a video has even sides, not " + size_text(height, width) + ": take " +
                                   size_text(even(height), even(width)));
}

std::string header(int64_t height, int64_t width, FrameRate rate) {
  std::string payload;
  for (const auto number : {width, height, rate.numerator, rate.denominator})
    payload += little_endian_bytes(static_cast<uint32_t>(number));
  return payload;
}

}  // namespace

std::filesystem::path video_file(const std::filesystem::path& folder, int64_t number) {
  char name[32];
  std::snprintf(name, sizeof name, "%05lld.mp4", static_cast<long long>(number));
  return folder / name;
}

VideoWriter::VideoWriter(const std::filesystem::path& path, int64_t height, int64_t width, FrameRate rate,
                         OddSide odd)
    : path_(path), height_(height), width_(width), media_(in_memory(path)) {
  require_size(path, height, width, odd);
  const auto term = [](int64_t n) { return n >= 1 && n <= int64_t{video::kMaxRateTerm}; };
  if (!term(rate.numerator) || !term(rate.denominator))
    throw Error(path.string(), "its frame rate is out of range");
  worker_.emplace("encode", media_.get(), kPatience_s, path.string());
  worker_->send("HEAD", header(even(height), even(width), rate));
}

void VideoWriter::write(const at::Tensor& frames_F3HW) {
  if (frames_F3HW.dim() != 4 || frames_F3HW.size(1) != 3 || frames_F3HW.size(2) != height_ ||
      frames_F3HW.size(3) != width_)
    throw Error(path_.string(),
                "takes frames [F,3," + std::to_string(height_) + "," + std::to_string(width_) + "]");
  for (int64_t f = 0; f < frames_F3HW.size(0); ++f) {  // one at a time: there may be gigabytes of them
    auto rgb_HW3 = eight_bit(frames_F3HW[f]).permute({1, 2, 0});
    if (height_ % 2 != 0) rgb_HW3 = at::cat({rgb_HW3, rgb_HW3.slice(0, height_ - 1)}, 0);
    if (width_ % 2 != 0) rgb_HW3 = at::cat({rgb_HW3, rgb_HW3.slice(1, width_ - 1)}, 1);
    rgb_HW3 = rgb_HW3.contiguous();
    worker_->send("FRAM", {reinterpret_cast<const char*>(rgb_HW3.const_data_ptr<uint8_t>()),
                           static_cast<size_t>(rgb_HW3.numel())});
  }
}

void VideoWriter::finish() {
  worker_->send("DONE", "");
  if (const auto answer = worker_->receive(); answer.tag != "DONE")
    throw Error(path_.string(), "thalweg-video answers \"" + answer.tag + "\": it is of another version");
  worker_.reset();
  publish();
}

void VideoWriter::publish() {
  PendingFile file(path_);
  std::string block(kBlock, '\0');
  for (off_t at = 0;;) {
    const auto got = ::pread(media_.get(), block.data(), block.size(), at);
    if (got < 0) throw_io_error(path_, "cannot be written", errno);
    if (got == 0) break;
    file.write(std::string_view(block).substr(0, static_cast<size_t>(got)));
    at += got;
  }
  file.publish();
}

void write_video(const std::filesystem::path& path, const at::Tensor& frames_F3HW, FrameRate rate,
                 OddSide odd) {
  if (frames_F3HW.dim() != 4) throw Error(path.string(), "takes frames [F,3,H,W]");
  VideoWriter writer(path, frames_F3HW.size(2), frames_F3HW.size(3), rate, odd);
  writer.write(frames_F3HW);
  writer.finish();
}

}  // namespace thalweg
