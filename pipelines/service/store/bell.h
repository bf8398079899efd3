// Wakes who waits for news of a job.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <string>

namespace thalweg::service {

class Bell {
 public:
  explicit Bell(boost::asio::io_context& context) : context_(context) {}

  /// Returns when it is rung for this job, or after so long. What changed before the call is not waited for:
  /// look first, and wait without anything in between.
  boost::asio::awaitable<void> wait(std::string job, std::chrono::steady_clock::duration most) {
    auto& waiters = waiting_[job];
    const auto waiter = waiters.emplace(waiters.end(), context_, most, rings_);
    boost::system::error_code ignored;
    co_await waiter->timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
    const auto found = waiting_.find(job);
    found->second.erase(waiter);
    if (found->second.empty()) waiting_.erase(found);
  }

  void ring(const std::string& job) { wake(job, ++rings_); }

  /// How often it was rung: what was read at one count holds until the next.
  uint64_t rings() const { return rings_; }

 private:
  struct Waiter {
    Waiter(boost::asio::io_context& context, std::chrono::steady_clock::duration most, uint64_t rings)
        : timer(context, most), since(rings) {}
    boost::asio::steady_timer timer;
    uint64_t since;
    bool woken = false;
  };
  static constexpr int kAtOnce = 50;

  /// Those that waited before that ring, a few at a time: others are answered in between.
  void wake(const std::string& job, uint64_t ring) {
    const auto found = waiting_.find(job);
    if (found == waiting_.end()) return;
    int left = kAtOnce;
    for (auto& waiter : found->second) {
      if (waiter.woken || waiter.since >= ring) continue;
      if (left-- == 0) {
        boost::asio::post(context_, [this, job, ring] { wake(job, ring); });
        return;
      }
      waiter.woken = true;
      waiter.timer.cancel();
    }
  }

  uint64_t rings_ = 0;
  boost::asio::io_context& context_;
  std::map<std::string, std::list<Waiter>> waiting_;
};

}  // namespace thalweg::service
