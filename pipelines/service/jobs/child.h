// A program of ours that is run for the service: what it says line by line, and how it ends.
#pragma once

#include <sys/types.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/streambuf.hpp>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace thalweg::service {

struct ChildCommand {
  std::vector<std::string> words;  ///< the first is a file
  std::filesystem::path folder;    ///< where it works
  std::filesystem::path log = {};  ///< its standard error is appended there; empty: nowhere
  std::vector<std::pair<std::string, std::string>> environment = {};  ///< beside that of the service
  bool takes_input = false;
  std::vector<int> cores = {};  ///< that it may use; empty: those of the service
};

/// Cores that this process may use, the lowest first.
std::vector<int> own_cores();

/// Lets this process open as many files as it may, and returns how many; its children keep the limit that it
/// had.
size_t raise_descriptor_limit();

/// When a process began, by the kernel's clock since boot: with its id it names one process and no later one.
std::optional<int64_t> start_of_process(pid_t id);

class Child {
 public:
  /// It is asked to stop (SIGTERM) when the service dies. Throws IoError where it cannot be run.
  Child(boost::asio::io_context& context, const ChildCommand& command);
  /// Kills it.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t id() const { return id_; }
  void signal(int number) const;
  /// The next line of its standard output; none: it closed it. A line of more than 16 MiB is an IoError.
  boost::asio::awaitable<std::optional<std::string>> line();
  boost::asio::awaitable<void> write(const std::string& bytes);
  /// Its exit code, or 128 and the signal that it died of.
  boost::asio::awaitable<int> end();

 private:
  static constexpr size_t kLongestLine = size_t{16} << 20;

  pid_t id_ = -1;
  boost::asio::posix::stream_descriptor output_, input_, ended_;
  boost::asio::streambuf buffer_{kLongestLine};
  std::optional<int> code_;
};

}  // namespace thalweg::service
