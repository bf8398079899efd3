#include "engine/parallel/handover.h"

#include <ATen/Parallel.h>

#include "engine/core/device.h"

namespace thalweg {

Handover::Handover(int64_t threads, c10::Device device) : most_(threads), device_(device) {
  for (int64_t i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

Handover::~Handover() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void Handover::hand_on(int64_t number, std::function<void()> work) {
  if (most_ == 0) return work();
  std::unique_lock lock(mutex_);
  room_.wait(lock, [this] { return unfinished_ < most_; });
  ++unfinished_;
  waiting_.emplace_back(number, std::move(work));
  wake_.notify_one();
}

void Handover::join() {
  std::unique_lock lock(mutex_);
  room_.wait(lock, [this] { return unfinished_ == 0; });
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void Handover::work() {
  at::set_num_threads(1);  // a thread's own setting in OpenMP
  use_device(device_);
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    auto [number, work] = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    std::exception_ptr error;
    try {
      work();
    } catch (...) {
      error = std::current_exception();
    }
    work = nullptr;  // what it holds is freed before another may begin
    lock.lock();
    if (error && (!error_ || number < error_number_)) {
      error_ = error;
      error_number_ = number;
    }
    --unfinished_;
    room_.notify_all();
  }
}

}  // namespace thalweg
