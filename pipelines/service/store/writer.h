// The one writer of the store: changes that wait together reach the disk together.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <exception>
#include <filesystem>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "pipelines/service/store/database.h"

namespace thalweg::service {

class Writer {
 public:
  using Work = std::function<void(Database&)>;
  using Done = std::function<void(std::exception_ptr)>;

  /// Opens the file, and makes or updates its tables. `answers` is where `Done` runs.
  Writer(const std::filesystem::path& path, boost::asio::io_context& answers);
  /// What was handed over is written first.
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  /// `work` happens whole or not at all, in the order of the calls; `done` is called once it is on the disk,
  /// or with what it threw.
  void write(Work work, Done done);
  /// The same, waited for: returns once it is on the disk; throws what `work` threw, or IoError.
  boost::asio::awaitable<void> write(Work work);

 private:
  struct Change {
    Work work;
    Done done;
    std::exception_ptr failure = {};
  };

  void loop();
  void commit(std::vector<Change>& changes);

  boost::asio::io_context& answers_;
  Database database_;
  std::mutex mutex_;
  std::condition_variable waiting_;
  std::vector<Change> changes_;
  bool ends_ = false;
  std::thread thread_;
};

}  // namespace thalweg::service
