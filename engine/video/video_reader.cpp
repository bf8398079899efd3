#include "engine/video/video_reader.h"

#include <ATen/ATen.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <sstream>
#include <system_error>

#include "engine/core/clock.h"
#include "engine/core/descriptor.h"
#include "engine/core/endings.h"
#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/core/natural_order.h"
#include "engine/core/path.h"
#include "engine/io/image.h"
#include "engine/video/worker_process.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

constexpr const char* kEndings[] = {".mp4", ".m4v", ".mov", ".webm", ".mkv", ".gif"};
constexpr double kSilence_s = 30.0;

at::Tensor picture_of(const video::Message& message, int64_t height, int64_t width) {
  auto rgb_HW3 = at::empty({height, width, 3}, at::kByte);
  std::copy(message.payload.begin(), message.payload.end(),
            reinterpret_cast<char*>(rgb_HW3.mutable_data_ptr<uint8_t>()));
  return rgb_HW3.permute({2, 0, 1}).contiguous();
}

std::string limits_message(const VideoLimits& limits) {
  std::string payload;
  for (const auto number :
       {limits.pixels, limits.frames, limits.bytes, static_cast<int64_t>(limits.play_s * 1000.0)})
    payload += little_endian_bytes(static_cast<uint64_t>(number));
  return payload;
}

// What the program says is held to the limits again: it may be what the file has made of it.
class Answers {
 public:
  Answers(const fs::path& path, const VideoLimits& limits) : place_(path.string()), limits_(limits) {}

  /// Whether there is more to come.
  bool take(const video::Message& message) {
    if (message.tag == "DONE") {
      finish(message);
      return false;
    }
    if (message.tag == "HEAD" && pictures_.empty()) {
      video::PayloadReader in(message.payload);
      width_ = in.take<uint32_t>();
      height_ = in.take<uint32_t>();
      require(width_ > 0 && height_ > 0 && width_ * height_ <= limits_.pixels);
    } else {
      const int64_t bytes = 3 * height_ * width_, count = static_cast<int64_t>(pictures_.size()) + 1;
      require(message.tag == "FRAM" && bytes > 0 && static_cast<int64_t>(message.payload.size()) == bytes);
      require(count <= limits_.frames && count <= limits_.bytes / bytes);
      pictures_.push_back(picture_of(message, height_, width_));
    }
    return true;
  }
  Video video;

 private:
  void require(bool holds) const {
    if (!holds)
      throw Error(place_, "thalweg-video gives another answer than it may: the file is not to be trusted");
  }

  void finish(const video::Message& message) {
    video::PayloadReader in(message.payload);
    require(!pictures_.empty() && in.take<uint64_t>() == pictures_.size());
    const FrameRate rate{in.take<uint32_t>(), in.take<uint32_t>()};
    require(rate.denominator > 0);
    video.fps = rate.per_second();
    std::istringstream notes{std::string(in.rest())};
    for (std::string note; std::getline(notes, note);) video.notes.push_back(printable(note, 200));
    video.frames_F3HW = at::stack(pictures_);
  }

  const std::string place_;
  const VideoLimits& limits_;
  int64_t width_ = 0, height_ = 0;
  std::vector<at::Tensor> pictures_;
};

Video read_file_of_frames(const fs::path& path, const VideoLimits& limits) {
  const Descriptor media(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (media.get() < 0)
    throw Error(path.string(), "cannot be read: " + std::generic_category().message(errno));
  const double until = wall_seconds() + limits.patience_s;
  video::WorkerProcess worker("decode", media.get(), std::min(kSilence_s, limits.patience_s), path.string());
  worker.send("READ", limits_message(limits));
  Answers answers(path, limits);
  try {
    while (answers.take(worker.receive()))
      if (wall_seconds() > until)
        throw Error(path.string(), "is not decoded after " + in_seconds(limits.patience_s));
  } catch (const video::LineBroken& e) {
    throw Error(path.string(), e.what());
  }
  return std::move(answers.video);
}

Video read_folder_of_frames(const fs::path& folder, const VideoLimits& limits) {
  std::vector<fs::path> files;
  std::error_code ec;
  for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec))
    if (lower_ending(it->path()) == ".png") files.push_back(it->path());
  if (ec) throw Error(folder.string(), "cannot be read: " + ec.message());
  if (files.empty()) throw Error(folder.string(), "holds no PNG file, so it is no video");
  if (static_cast<int64_t>(files.size()) > limits.frames)
    throw Error(folder.string(), "holds " + std::to_string(files.size()) + " PNG files; at most " +
                                     std::to_string(limits.frames) + " are read");
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) {
    return natural_less(a.filename().string(), b.filename().string());
  });
  std::vector<at::Tensor> pictures;
  for (const auto& file : files) {
    pictures.push_back(eight_bit(read_png(file)));
    if (pictures.back().sizes() != pictures.front().sizes())
      throw Error(file.string(), "has another size than the frames before it");
    if (static_cast<int64_t>(pictures.size()) > limits.bytes / pictures.front().numel())
      throw Error(folder.string(),
                  "is larger than " + std::to_string(limits.bytes >> 20) + " MiB once it is read");
  }
  return {at::stack(pictures), 0.0, {}};
}

}  // namespace

bool has_video_ending(const fs::path& path) {
  return std::find(std::begin(kEndings), std::end(kEndings), lower_ending(path)) != std::end(kEndings);
}

Video read_video(const fs::path& path, const VideoLimits& limits) {
  std::error_code ec;
  return fs::is_directory(path, ec) ? read_folder_of_frames(path, limits) : read_file_of_frames(path, limits);
}

}  // namespace thalweg
