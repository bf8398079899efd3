#include "engine/video/video_queue.h"

#include <ATen/ATen.h>

#include <utility>

#include "engine/io/image.h"

namespace thalweg {

size_t VideoQueue::Waiting::bytes() const {
  return static_cast<size_t>(levels_F3HW.numel());
}

VideoQueue::~VideoQueue() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void VideoQueue::add(std::filesystem::path path, const at::Tensor& frames_F3HW, FrameRate rate, OddSide odd) {
  // A copy: a view of a micro-batch would keep all of it.
  const auto levels = eight_bit(frames_F3HW);
  Waiting video{std::move(path), levels.is_alias_of(frames_F3HW) ? levels.clone() : levels, rate, odd};
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return waiting_.empty() || bytes_ + video.bytes() <= most_bytes_; });
  bytes_ += video.bytes();
  waiting_.push_back(std::move(video));
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  changed_.notify_all();
}

std::vector<VideoQueue::Failure> VideoQueue::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return waiting_.empty(); });
  return std::exchange(failed_, {});
}

void VideoQueue::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return ends_ || !waiting_.empty(); });
    if (ends_) return;
    const auto& video = waiting_.front();  // a deque's ends grow without moving it
    lock.unlock();
    std::string problem;
    try {
      write_video(video.path, video.levels_F3HW, video.rate, video.odd);
    } catch (const std::exception& e) {
      problem = e.what();
    }
    lock.lock();
    if (!problem.empty()) failed_.push_back({video.path, std::move(problem)});
    bytes_ -= video.bytes();
    waiting_.pop_front();
    changed_.notify_all();
  }
}

}  // namespace thalweg
