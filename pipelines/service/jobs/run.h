// A run that is under way: its process, and what it tells.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <filesystem>
#include <memory>
#include <set>
#include <string>

#include "pipelines/service/jobs/child.h"
#include "pipelines/service/jobs/ending.h"
#include "pipelines/service/jobs/follower.h"
#include "pipelines/service/store/store.h"

namespace thalweg::service {

class Run {
 public:
  /// Knows from the store what a client was told already.
  Run(boost::asio::io_context& context, Store& store, const std::string& job);

  /// Begins the process (`command`: thalweg, where it works, and what it is given of the machine) and follows
  /// it to its end; `stop`: the service wants to stop in any case. Throws IoError where it cannot be begun or
  /// told of; the process is then killed.
  boost::asio::awaitable<RunEnd> until_end(JobRow row, ChildCommand command, const bool& stop,
                                           std::chrono::milliseconds grace);

  /// Asks it to stop for this wish, once, and kills it when it has not after so long. Of one that has no
  /// process yet the store knows the wish.
  void stop(Wish wish, std::chrono::milliseconds grace);
  const Json& progress() const { return progress_; }

 private:
  void hear(const std::string& line, Store::Events& events);
  boost::asio::awaitable<void> look();

  boost::asio::io_context& context_;
  Store& store_;
  std::string job_;
  std::filesystem::path folder_;  // what it writes
  std::shared_ptr<Child> child_;
  MetricsFollower metrics_;
  LineFollower events_;
  std::set<std::string> told_;  // of events, which a run that goes on may have again
  Json progress_, last_word_;
  Wish asked_ = Wish::none;
};

}  // namespace thalweg::service
