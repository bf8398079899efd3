// Videos that are encoded while the next are drawn.
#pragma once

#include <ATen/core/Tensor.h>

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/video/video_writer.h"

namespace thalweg {

/// One thread hands videos to thalweg-video, in order. What waits is bounded: a video that would exceed
/// `most_bytes` waits in add(), unless it is the only one.
class VideoQueue {
 public:
  struct Failure {
    std::filesystem::path path;
    std::string message;
  };

  explicit VideoQueue(size_t most_bytes = size_t{1} << 30) : most_bytes_(most_bytes) {}
  /// Leaves undone what waits.
  ~VideoQueue();
  VideoQueue(const VideoQueue&) = delete;
  VideoQueue& operator=(const VideoQueue&) = delete;

  /// A video of frames [F,3,H,W], kept as levels until it is done. [any thread]
  void add(std::filesystem::path path, const at::Tensor& frames_F3HW, FrameRate rate, OddSide odd);
  /// Until all that was added is done. Returns those that failed since the last call. [any thread]
  std::vector<Failure> wait();

 private:
  struct Waiting {
    std::filesystem::path path;
    at::Tensor levels_F3HW;
    FrameRate rate;
    OddSide odd;
    size_t bytes() const;
  };
  void work();

  const size_t most_bytes_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Waiting> waiting_;  // the first is being done
  std::vector<Failure> failed_;
  size_t bytes_ = 0;
  bool ends_ = false;
  std::thread thread_;  // from the first video on
};

}  // namespace thalweg
