// A clock that nobody waits for, and a server that is a function.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <utility>

#include "plugins/remote/clock.h"
#include "plugins/remote/http.h"

namespace remote::testing {

class FakeClock final : public Clock {
 public:
  double now() const override {
    const std::lock_guard lock(mutex_);
    return now_;
  }
  double date() const override { return 1.0e9 + now(); }
  void sleep(double seconds) override { advance(seconds); }
  void advance(double seconds) {
    const std::lock_guard lock(mutex_);
    now_ += seconds;
  }

 private:
  mutable std::mutex mutex_;
  double now_ = 1000.0;
};

class FakeTransport final : public Transport {
 public:
  explicit FakeTransport(std::function<HttpReply(int, const HttpRequest&, double)> serve)
      : serve_(std::move(serve)) {}
  /// The number of the request, from 0, is the function's first argument.
  HttpReply send(const HttpRequest& request, double seconds) override {
    return serve_(sent_++, request, seconds);
  }
  int sent() const { return sent_; }

 private:
  std::function<HttpReply(int, const HttpRequest&, double)> serve_;
  std::atomic<int> sent_{0};
};

inline HttpReply replied(int status, std::string body = "", std::string retry_after = "") {
  HttpReply reply;
  reply.status = status;
  reply.body = std::move(body);
  reply.retry_after = std::move(retry_after);
  reply.sent = true;
  return reply;
}

inline HttpReply broken(std::string failure, bool transient, bool sent) {
  HttpReply reply;
  reply.failure = std::move(failure);
  reply.transient = transient;
  reply.sent = sent;
  return reply;
}

}  // namespace remote::testing
