// Runs the queue: a process a job, watched to its end, whatever that is.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "pipelines/service/jobs/run.h"
#include "pipelines/service/store/store.h"

namespace thalweg::service {

/// What a run is given of the machine.
struct Share {
  std::vector<int> cores = {};  ///< empty: all
  std::string gpu = {};         ///< the one that it sees, as CUDA_VISIBLE_DEVICES has it; empty: all
};

struct SupervisorOptions {
  std::filesystem::path program = {};  ///< thalweg
  std::filesystem::path root = {};     ///< where runs work
  int64_t workers = 1;                 ///< jobs at a time
  std::vector<Share> shares = {};      ///< of each worker; beyond them, and for clients who wait: all
  int64_t interactive = 1;             ///< beside them, of jobs whose clients wait
  int64_t faults = 3;                  ///< of the machine, until a job is given up
  std::chrono::seconds grace{30};      ///< from the wish to stop to the kill
};

class Supervisor {
 public:
  Supervisor(boost::asio::io_context& context, Store& store, SupervisorOptions options);
  ~Supervisor();

  /// Takes up what an earlier server left, and begins. Jobs that it left running are queued again: they go on
  /// from their checkpoints, once what is left of their processes is gone.
  boost::asio::awaitable<void> start();
  /// Something was queued.
  void wake();

  /// What a client asks; each returns the job as it then is. Throw ApiError (404, 409).
  boost::asio::awaitable<JobRow> pause(const std::string& id);
  boost::asio::awaitable<JobRow> resume(const std::string& id);
  boost::asio::awaitable<JobRow> cancel(const std::string& id);

  /// Null, or phase, done, total, values of a job that runs.
  Json progress(const std::string& id) const;
  int64_t running() const { return static_cast<int64_t>(live_.size()); }

  /// Asks all runs to keep what they have, waits for them, and queues them again.
  boost::asio::awaitable<void> stop();

 private:
  boost::asio::awaitable<JobRow> wish(std::string id, Wish wanted);
  boost::asio::awaitable<void> work(JobRow row);
  boost::asio::awaitable<bool> begin(JobRow& row);
  boost::asio::awaitable<void> conclude(const std::string& id, RunEnd end);
  boost::asio::awaitable<void> wait_for_folder(const JobRow& row);
  boost::asio::awaitable<void> take_up();
  boost::asio::awaitable<void> keep_looking();
  void fill_slots();
  void fill(Lane lane, int64_t slots);
  ChildCommand command_of(const std::string& id) const;

  boost::asio::io_context& context_;
  Store& store_;
  SupervisorOptions options_;
  struct Live {
    Lane lane;
    int64_t slot;  // of the lane
    std::unique_ptr<Run> run;
  };
  std::map<std::string, Live> live_;
  std::map<std::string, std::chrono::steady_clock::time_point> not_before_;
  bool stopping_ = false;
};

}  // namespace thalweg::service
