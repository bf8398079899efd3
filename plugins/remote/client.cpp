#include "client.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <thread>

#include "completion.h"
#include "engine/core/text.h"
#include "retry.h"
#include "without_signals.h"

namespace remote {
namespace {

constexpr size_t kShownBody = 200;
constexpr const char* kTimeIsUp = "the batch's time is up (/timeouts/batch_s)";

bool is_success(int status) {
  return status >= 200 && status <= 299;
}

/// Of the server, not of this request: what the breaker counts.
bool is_servers_fault(const HttpReply& reply) {
  if (!reply.failure.empty()) return true;
  return reply.status == 401 || reply.status == 403 || (may_retry(reply.status) && reply.status != 429);
}

std::string words_of(const HttpReply& reply) {
  auto words = "the server answers with status " + std::to_string(reply.status);
  if (reply.status >= 300 && reply.status <= 399) return words + ", a redirect, which is not followed";
  if (!reply.body.empty()) words += ": " + thalweg::printable(reply.body, kShownBody);
  return words;
}

/// What of the amount set aside an attempt took. An answer that broke off may have cost all of it.
Spending used_of(const Exchange& exchange, const HttpReply& reply) {
  if (!reply.sent) return {};
  if (!reply.failure.empty()) return exchange.most;
  if (!is_success(reply.status)) return {exchange.most.requests, 0, 0};
  return exchange.used ? exchange.used(reply) : exchange.most;
}

}  // namespace

Client::Client(const ClientOptions& options, Transport& transport, Budget& budget, Clock& clock,
               std::function<void(const std::string&)> log)
    : options_(options),
      transport_(transport),
      budget_(budget),
      clock_(clock),
      log_(std::move(log)),
      breaker_(clock),
      requests_(clock, options.requests_per_minute),
      tokens_(clock, options.tokens_per_minute) {}

double Client::uniform() {
  const std::lock_guard lock(mutex_);
  return std::uniform_real_distribution<double>(0.0, 1.0)(jitter_);
}

std::vector<std::string> Client::run(const std::vector<Exchange>& exchanges, double deadline) {
  std::vector<std::string> failures(exchanges.size());
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i; (i = next.fetch_add(1)) < exchanges.size();) {
      try {
        failures[i] = exchange(exchanges[i], deadline);
      } catch (const std::exception& e) {
        failures[i] = e.what();
      }
    }
  };
  const auto count = std::min(exchanges.size(), static_cast<size_t>(options_.concurrency));
  std::vector<std::jthread> threads;
  try {
    const WithoutSignals mask;
    while (threads.size() < count) threads.emplace_back(work);
  } catch (const std::system_error&) {
    if (threads.empty()) throw;  // fewer do, too
  }
  threads.clear();  // joins
  return failures;
}

std::string Client::exchange(const Exchange& exchange, double deadline) {
  bool was_unreadable = false;
  for (int k = 0;; ++k) {
    const auto done = attempt(exchange, deadline);
    if (done.failure.empty()) return "";
    // The same question gives the same answer, mostly: once more, and no more.
    if (!done.again || k >= options_.retries || (done.unreadable && was_unreadable)) return done.failure;
    was_unreadable = was_unreadable || done.unreadable;
    const double wait = std::max(done.wait, done.wait < 0 ? backoff(k, uniform()) : 0.0);
    if (clock_.now() + wait >= deadline) return done.failure + "; the batch's time is up";
    clock_.sleep(wait);
  }
}

Client::Attempt Client::attempt(const Exchange& exchange, double deadline) {
  double left = deadline - clock_.now();
  if (left <= 0) return {.failure = kTimeIsUp};
  if (exchange.most.requests > 0) {
    const auto one = requests_.take(1, left);
    const auto all = one ? tokens_.take(static_cast<double>(exchange.most.tokens), left) : one;
    if (!all) return {.failure = "the rate limit leaves no time for it within the batch's"};
    clock_.sleep(std::max(*one, *all));
  }
  const auto request = exchange.request();
  const auto pass = breaker_.enter();
  if (pass == Breaker::Pass::refused)
    return {.failure = "the server kept failing and is left alone for a while (circuit breaker)"};
  double begin = 0;
  HttpReply reply;
  try {
    auto failure = budget_.reserve(exchange.most);
    begin = clock_.now();
    left = deadline - begin;
    if (failure.empty() && left <= 0) {
      failure = kTimeIsUp;
      budget_.settle(exchange.most, {});
    }
    if (!failure.empty()) {
      breaker_.cancel(pass);
      return {.failure = failure};
    }
    reply = transport_.send(request, std::min(options_.request_s, left));
  } catch (const StoreError& e) {
    breaker_.cancel(pass);
    return {.failure = std::string("what is spent cannot be written down, so nothing is: ") + e.what()};
  } catch (...) {
    breaker_.cancel(pass);  // else a probe that was never sent keeps all others out
    throw;
  }
  breaker_.leave(pass, !is_servers_fault(reply));
  const auto unsettled = settle(exchange, reply);
  auto done = judged(exchange, reply);
  if (log_) {
    std::array<char, 96> line{};
    std::snprintf(line.data(), line.size(), " %.0f ms, status %d", 1000 * (clock_.now() - begin),
                  reply.status);
    log_(request.method + " " + request.path + line.data() +
         (done.failure.empty() ? "" : ": " + done.failure) + unsettled);
  }
  return done;
}

std::string Client::settle(const Exchange& exchange, const HttpReply& reply) {
  try {
    budget_.settle(exchange.most, used_of(exchange, reply));
    return "";
  } catch (const StoreError& e) {
    return std::string("; what was set aside for it stays counted, since the file cannot be written: ") +
           e.what();
  }
}

Client::Attempt Client::judged(const Exchange& exchange, const HttpReply& reply) {
  if (!reply.failure.empty()) return {.failure = reply.failure, .again = reply.transient};
  if (reply.status == 429) {
    requests_.halve();
    tokens_.halve();
  }
  if (!is_success(reply.status)) {
    Attempt attempt{.failure = words_of(reply), .again = may_retry(reply.status)};
    if (const auto wait = retry_after(reply.retry_after, clock_.date())) attempt.wait = *wait;
    return attempt;
  }
  requests_.recover();
  tokens_.recover();
  try {
    exchange.read(reply);
  } catch (const Unreadable& e) {
    return {.failure = e.what(), .unreadable = true, .again = true};
  }
  return {};
}

}  // namespace remote
