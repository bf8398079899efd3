// Requests as a whole: rate, budget, breaker, retries and deadline around each, and many of them side by
// side.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "breaker.h"
#include "bucket.h"
#include "budget.h"
#include "clock.h"
#include "http.h"

namespace remote {

/// A question to the server and what is done with its answer.
struct Exchange {
  std::function<HttpRequest()> request;                 // made when its turn comes
  std::function<void(const HttpReply&)> read;           // of status 2xx. Throws Unreadable.
  std::function<Spending(const HttpReply&)> used = {};  // what a reply says that it took; empty: `most`
  Spending most{};                                      // of one attempt; requests 0: costs nothing
};

struct ClientOptions {
  double request_s = 60.0;
  int retries = 5;
  int concurrency = 8;
  double requests_per_minute = 0, tokens_per_minute = 0;  // 0: no limit
};

class Client {
 public:
  /// All outlive it. `log` takes one line a request; it may be empty.
  Client(const ClientOptions& options, Transport& transport, Budget& budget, Clock& clock,
         std::function<void(const std::string&)> log);

  /// At most `concurrency` at once, all ended by `deadline` (of the clock, in seconds), on threads that end
  /// with this call. For each "", or why it has no answer.
  std::vector<std::string> run(const std::vector<Exchange>& exchanges, double deadline);

 private:
  struct Attempt {
    std::string failure;  // "": done
    bool unreadable = false, again = false;
    double wait = -1;  // that the server asks for; < 0: none
  };
  std::string exchange(const Exchange& exchange, double deadline);
  Attempt attempt(const Exchange& exchange, double deadline);
  /// "", or why it is not written down; the reply has been paid for and counts all the same.
  std::string settle(const Exchange& exchange, const HttpReply& reply);
  Attempt judged(const Exchange& exchange, const HttpReply& reply);
  double uniform();

  const ClientOptions options_;
  Transport& transport_;
  Budget& budget_;
  Clock& clock_;
  const std::function<void(const std::string&)> log_;
  Breaker breaker_;
  Bucket requests_, tokens_;
  std::mutex mutex_;
  std::mt19937_64 jitter_{std::random_device{}()};
};

}  // namespace remote
