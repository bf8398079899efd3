#include "engine/parallel/workers.h"

#include <ATen/Parallel.h>

namespace thalweg {

Workers::Workers(int64_t count) {
  at::set_num_threads(1);
  for (int64_t i = 0; i < count; ++i) threads_.emplace_back([this] { work(); });
}

Workers::~Workers() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void Workers::for_each(int64_t tasks, const std::function<void(int64_t)>& task) {
  if (tasks <= 0) return;
  std::unique_lock lock(mutex_);
  task_ = &task;
  tasks_ = open_ = tasks;
  next_ = 0;
  error_ = nullptr;
  wake_.notify_all();
  finished_.wait(lock, [this] { return open_ == 0; });
  task_ = nullptr;
  if (error_) std::rethrow_exception(error_);
}

void Workers::work() {
  at::set_num_threads(1);  // a thread's own setting in OpenMP
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stopping_ || (task_ && next_ < tasks_); });
    if (stopping_) return;
    const int64_t mine = next_++;
    const auto* task = task_;
    lock.unlock();
    std::exception_ptr error;
    try {
      (*task)(mine);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (error && (!error_ || mine < error_task_)) {
      error_ = error;
      error_task_ = mine;
    }
    if (--open_ == 0) finished_.notify_all();
  }
}

}  // namespace thalweg
