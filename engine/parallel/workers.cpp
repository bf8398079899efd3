#include "engine/parallel/workers.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "engine/core/device.h"

namespace thalweg {
namespace {

// MKL's vector functions (exp, log, cos, ...) look for their code path at the first call, and not atomically:
// they store the processor's type and a moment later its place in their table. A second thread that makes its
// own first call in between computes on another path, with other last bits (seen once in some thousand runs).
void choose_vector_functions() {
  at::zeros({16}, at::kFloat).exp();
  at::zeros({16}, at::kDouble).exp();
}

}  // namespace

Workers::Workers(int64_t count, c10::Device device) : device_(device) {
  at::set_num_threads(1);
  choose_vector_functions();
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
  use_device(device_);
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
