// Videos that are encoded while the next are drawn.
#pragma once

#include <ATen/core/Tensor.h>

#include <condition_variable>
#include <deque>
#include <exception>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/video/video_writer.h"

namespace thalweg {

struct QueuedVideo {
  std::filesystem::path path;
  at::Tensor frames_F3HW;  // floats in [0,1] or levels
  FrameRate rate = {};
  OddSide odd = OddSide::refuse;
};

/// One thread hands videos to thalweg-video, in order. What waits is bounded, so that a run that is to stop
/// need not wait long: add() waits while there are four entries, or more than `most_bytes`, unless it is
/// alone.
class VideoQueue {
 public:
  struct Failure {
    std::filesystem::path path;
    std::string message;
  };

  explicit VideoQueue(size_t most_bytes = size_t{256} << 20) : most_bytes_(most_bytes) {}
  /// Leaves undone what waits.
  ~VideoQueue();
  VideoQueue(const VideoQueue&) = delete;
  VideoQueue& operator=(const VideoQueue&) = delete;

  /// Frames are kept as levels until they are done; then, on the queue's thread, `afterwards` is called,
  /// whatever became of them. Throws what an earlier `afterwards` threw; nothing is done any more then.
  /// [any thread]
  void add(
      std::vector<QueuedVideo> videos, std::function<void()> afterwards = [] {});
  /// Until all that was added is done. Returns the videos that could not be made since the last call. Throws
  /// as add() does. [any thread]
  std::vector<Failure> wait();

 private:
  struct Entry {
    std::vector<QueuedVideo> videos;
    std::function<void()> afterwards;
    size_t bytes = 0;
  };
  void work();
  void do_one(const Entry& entry);
  void rethrow();

  static constexpr size_t kMostEntries = 4;

  const size_t most_bytes_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Entry> waiting_;  // the first is being done
  std::vector<Failure> failed_;
  std::exception_ptr broken_;
  size_t bytes_ = 0;
  bool ends_ = false;
  std::thread thread_;  // from the first entry on
};

}  // namespace thalweg
