// What only the engine can say of a job or a reward, asked of a process that has it loaded.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <filesystem>
#include <list>
#include <memory>
#include <string>

#include "engine/core/json.h"
#include "pipelines/service/jobs/child.h"

namespace thalweg::service {

class Checker {
 public:
  /// `program`: thalweg; `folder`: where the paths of jobs begin. The process is started with the first
  /// question, and ended when none came for ten minutes.
  Checker(boost::asio::io_context& context, std::filesystem::path program, std::filesystem::path folder,
          std::chrono::seconds patience);

  /// The answer to `question` with `{"ask": what}` (pipelines/cli/answer.h). Throws ApiError: 400 with the
  /// JSON pointer for what is wrong with it; 503 where the process died of it or took longer than it may.
  boost::asio::awaitable<Json> ask(std::string what, Json question = Json::object());

 private:
  struct Turn;

  boost::asio::awaitable<void> wait_for_turn();
  void next_turn();
  boost::asio::awaitable<Json> answered(std::string question);
  boost::asio::awaitable<void> end_when_idle();

  boost::asio::io_context& context_;
  std::filesystem::path program_, folder_;
  std::chrono::seconds patience_;
  std::unique_ptr<Child> child_;
  bool busy_ = false, looks_ = false;
  std::list<boost::asio::steady_timer> waiting_;
  std::chrono::steady_clock::time_point used_;
};

}  // namespace thalweg::service
