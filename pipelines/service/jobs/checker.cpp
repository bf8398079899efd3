#include "pipelines/service/jobs/checker.h"

#include <signal.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "pipelines/service/http/message.h"

namespace thalweg::service {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::chrono::seconds kIdle{600};

ApiError as_api_error(const Json& error) {
  const bool is_users = error.value("kind", "") == "user";
  return {is_users ? 400U : 503U, is_users ? "invalid_job" : "storage", error.value("message", ""),
          error.value("place", "")};
}

}  // namespace

/// Hands the turn on, whatever is thrown.
struct Checker::Turn {
  Checker& checker;
  ~Turn() { checker.next_turn(); }
};

Checker::Checker(asio::io_context& context, std::filesystem::path program, std::filesystem::path folder,
                 std::chrono::seconds patience)
    : context_(context), program_(std::move(program)), folder_(std::move(folder)), patience_(patience) {}

asio::awaitable<void> Checker::wait_for_turn() {
  if (!std::exchange(busy_, true)) co_return;
  const auto timer = waiting_.emplace(waiting_.end(), context_, Clock::time_point::max());
  boost::system::error_code ignored;
  co_await timer->async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  waiting_.erase(timer);
}

void Checker::next_turn() {
  if (waiting_.empty()) {
    busy_ = false;
  } else {
    waiting_.front().cancel();  // the turn is theirs, and stays taken
  }
}

asio::awaitable<Json> Checker::answered(std::string question) {
  if (!child_) {
    child_ = std::make_unique<Child>(
        context_,
        ChildCommand{.words = {program_, "answer"}, .folder = folder_, .log = {}, .takes_input = true});
    if (!std::exchange(looks_, true)) asio::co_spawn(context_, end_when_idle(), asio::detached);
  }
  // A question that takes too long is ended with its process: its line closes, and the answer is none.
  asio::steady_timer patience(context_, patience_);
  patience.async_wait([child = child_.get()](const boost::system::error_code& code) {
    if (!code) child->signal(SIGKILL);
  });
  std::optional<std::string> line;
  try {
    co_await child_->write(question + "\n");
    line = co_await child_->line();
  } catch (const std::exception&) {  // it died before it had read the question
  }
  patience.cancel();
  used_ = Clock::now();
  if (!line) {
    child_.reset();
    throw ApiError(503, "checker_died",
                   "the engine's process ended over this question, or took longer than " +
                       std::to_string(patience_.count()) +
                       " s: `thalweg validate` or `thalweg reward try` says more");
  }
  co_return parse_json(*line, "answer");
}

asio::awaitable<Json> Checker::ask(std::string what, Json question) {
  question["ask"] = std::move(what);
  co_await wait_for_turn();
  const Turn turn{*this};
  auto answer = co_await answered(question.dump(-1, ' ', false, Json::error_handler_t::replace));
  if (answer.contains("error")) throw as_api_error(answer.at("error"));
  co_return std::move(answer.at("answer"));
}

asio::awaitable<void> Checker::end_when_idle() {
  while (child_) {
    asio::steady_timer timer(context_, kIdle / 10);
    co_await timer.async_wait(asio::use_awaitable);
    if (!busy_ && Clock::now() - used_ > kIdle) child_.reset();
  }
  looks_ = false;
}

}  // namespace thalweg::service
