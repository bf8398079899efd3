#include "engine/video/video_queue.h"

#include <ATen/ATen.h>

#include <utility>

#include "engine/io/image.h"

namespace thalweg {

VideoQueue::~VideoQueue() {
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void VideoQueue::rethrow() {
  if (broken_) std::rethrow_exception(broken_);
}

void VideoQueue::add(std::vector<QueuedVideo> videos, std::function<void()> afterwards) {
  Entry entry{std::move(videos), std::move(afterwards)};
  for (auto& video : entry.videos) {
    // A copy: a view of a micro-batch would keep all of it.
    const auto levels = eight_bit(video.frames_F3HW);
    video.frames_F3HW = levels.is_alias_of(video.frames_F3HW) ? levels.clone() : levels;
    entry.bytes += static_cast<size_t>(levels.numel());
  }
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] {
    const bool fits = waiting_.size() < kMostEntries && bytes_ + entry.bytes <= most_bytes_;
    return broken_ || waiting_.empty() || fits;
  });
  rethrow();
  bytes_ += entry.bytes;
  waiting_.push_back(std::move(entry));
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  changed_.notify_all();
}

std::vector<VideoQueue::Failure> VideoQueue::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return broken_ || waiting_.empty(); });
  rethrow();
  return std::exchange(failed_, {});
}

void VideoQueue::do_one(const Entry& entry) {
  for (const auto& video : entry.videos) {
    std::string problem;
    try {
      write_video(video.path, video.frames_F3HW, video.rate, video.odd);
    } catch (const std::exception& e) {
      problem = e.what();
    }
    const std::lock_guard lock(mutex_);
    if (ends_) return;
    if (!problem.empty()) failed_.push_back({video.path, std::move(problem)});
  }
  entry.afterwards();
}

void VideoQueue::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return ends_ || !waiting_.empty(); });
    if (ends_ || broken_) return;
    const auto& entry = waiting_.front();  // a deque's ends grow without moving it
    lock.unlock();
    std::exception_ptr thrown;
    try {
      do_one(entry);
    } catch (...) {
      thrown = std::current_exception();
    }
    lock.lock();
    broken_ = thrown;
    bytes_ -= entry.bytes;
    waiting_.pop_front();
    changed_.notify_all();
  }
}

}  // namespace thalweg
