// [scoring]: any one thread at a time per instance, different instances concurrently.
#include <exception>
#include <thread>

#include "plugins/validator/clauses.h"
#include "plugins/validator/compare.h"

namespace thalweg::validator {
namespace {

/// Runs `task` on a thread of its own and hands its failure on.
class Worker {
 public:
  template <class Task>
  explicit Worker(Task task)
      : thread_([this, task] {
          try {
            task();
          } catch (...) {
            failure_ = std::current_exception();
          }
        }) {}
  ~Worker() {
    if (thread_.joinable()) thread_.join();
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void join() {
    thread_.join();
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  std::exception_ptr failure_;
  std::thread thread_;
};

void another_thread(Subject& s) {
  Instance instance(s);
  const auto here = first_scores(s, instance.activate());
  std::vector<float> there;
  for (int i = 0; i < 2; ++i) {
    Worker([&] { there = first_scores(s, instance); }).join();
    require_same(s, instance, here, there, 0.0, "on the thread that activated", "on another");
  }
}

void in_parallel(Subject& s) {
  constexpr int kRounds = 8;
  Instance one(s), two(s);
  one.activate();
  two.activate();
  const auto expected = first_scores(s, one);
  std::vector<std::vector<float>> first(kRounds), second(kRounds);
  const auto rounds = [&s](Instance& instance, std::vector<std::vector<float>>& results) {
    for (auto& result : results) result = first_scores(s, instance);
  };
  {
    Worker a([&] { rounds(one, first); }), b([&] { rounds(two, second); });
    a.join();
    b.join();
  }
  for (int i = 0; i < kRounds; ++i) {
    require_same(s, one, expected, first[static_cast<size_t>(i)], 0.0, "alone",
                 "beside another instance's call");
    require_same(s, one, expected, second[static_cast<size_t>(i)], 0.0, "alone",
                 "beside another instance's call");
  }
}

}  // namespace

const std::vector<Clause>& thread_clauses() {
  static const std::vector<Clause> all = {
      {"threads.any", "host.h", "scores on any thread", "score.determinism", another_thread},
      {"threads.parallel", "host.h", "scores in two instances at the same time", "score.determinism",
       in_parallel}};
  return all;
}

}  // namespace thalweg::validator
