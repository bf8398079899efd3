// Work that whoever began it does not wait for: threads of its own finish it.
#pragma once

#include <c10/core/Device.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace thalweg {

class Handover {
 public:
  /// `threads` of one intra-op thread each; with none, the caller of hand_on() does the work. `device`: the
  /// GPU that the work uses.
  explicit Handover(int64_t threads, c10::Device device = c10::kCPU);
  /// Waits for what was handed on.
  ~Handover();
  Handover(const Handover&) = delete;
  Handover& operator=(const Handover&) = delete;

  /// Returns once a thread takes `work` or will take it next: no more than `threads` are unfinished. May be
  /// called from any thread. Without threads, throws as `work` does.
  void hand_on(int64_t number, std::function<void()> work);

  /// Waits for what was handed on; the exception of the work with the lowest number is rethrown here.
  void join();

 private:
  void work();

  const int64_t most_;
  c10::Device device_;
  std::mutex mutex_;
  std::condition_variable wake_, room_;
  std::deque<std::pair<int64_t, std::function<void()>>> waiting_;
  int64_t unfinished_ = 0;
  std::exception_ptr error_;
  int64_t error_number_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace thalweg
