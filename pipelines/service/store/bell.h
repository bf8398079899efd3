// Wakes who waits for news of a job.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
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
    auto& timers = waiting_[job];
    const auto timer = timers.emplace(timers.end(), context_, most);
    boost::system::error_code ignored;
    co_await timer->async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
    const auto found = waiting_.find(job);
    found->second.erase(timer);
    if (found->second.empty()) waiting_.erase(found);
  }

  void ring(const std::string& job) {
    const auto found = waiting_.find(job);
    if (found == waiting_.end()) return;
    for (auto& timer : found->second) timer.cancel();
  }

 private:
  boost::asio::io_context& context_;
  std::map<std::string, std::list<boost::asio::steady_timer>> waiting_;
};

}  // namespace thalweg::service
