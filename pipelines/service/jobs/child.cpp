#include "pipelines/service/jobs/child.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/read_until.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <istream>
#include <iterator>
#include <sstream>

#include "engine/core/descriptor.h"
#include "engine/core/error.h"
#include "engine/core/file.h"

extern char** environ;

namespace thalweg::service {

namespace asio = boost::asio;

namespace {

// Of this process before it was raised; {0, 0}: it was not.
rlimit descriptors_before{};

struct Pipe {
  Descriptor reads, writes;
};

Pipe make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw_io_error("pipe", "cannot be made", errno);
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

Descriptor open_or_fail(const std::filesystem::path& path, int flags) {
  Descriptor file(::open(path.c_str(), flags | O_CLOEXEC, 0600));
  if (file.get() < 0) throw_io_error(path, "cannot be opened", errno);
  return file;
}

std::vector<std::string> environment_with(const ChildCommand& command) {
  std::vector<std::string> all;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string text(*variable);
    const auto is_this = [&text](const auto& pair) { return text.starts_with(pair.first + "="); };
    // The service's own settings, a file of keys among them, are none of its children's.
    if (!text.starts_with("THALWEG_SERVE_") && std::ranges::none_of(command.environment, is_this))
      all.push_back(text);
  }
  for (const auto& [name, value] : command.environment) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> out;
  for (auto& word : words) out.push_back(word.data());
  out.push_back(nullptr);
  return out;
}

/// Between fork and exec, all signals blocked: nothing here allocates or locks.
[[noreturn]] void become(char* const* words, char* const* environment, const char* folder, int input,
                         int output, int errors, pid_t parent, const cpu_set_t* cores) {
  ::setpgid(0, 0);
  if (descriptors_before.rlim_max != 0) ::setrlimit(RLIMIT_NOFILE, &descriptors_before);
  if (cores != nullptr) ::sched_setaffinity(0, sizeof(*cores), cores);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(1);
  ::dup2(input, 0);
  ::dup2(output, 1);
  ::dup2(errors, 2);
  ::syscall(SYS_close_range, 3U, ~0U, 0U);
  for (int number = 1; number < NSIG; ++number) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (::chdir(folder) == 0) ::execve(words[0], words, environment);
  ::_exit(127);
}

}  // namespace

size_t raise_descriptor_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const auto before = limit;
  limit.rlim_cur = limit.rlim_max;
  if (limit.rlim_cur != before.rlim_cur && ::setrlimit(RLIMIT_NOFILE, &limit) == 0)
    descriptors_before = before;
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

std::vector<int> own_cores() {
  cpu_set_t cores;
  std::vector<int> all;
  if (::sched_getaffinity(0, sizeof(cores), &cores) != 0) return all;
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &cores)) all.push_back(core);
  return all;
}

std::optional<int64_t> start_of_process(pid_t id) {
  std::ifstream file("/proc/" + std::to_string(id) + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), {});
  const auto name_end = text.rfind(')');  // the name may hold anything
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(name_end + 1));
  std::string state, field;
  fields >> state;
  if (state == "Z" || state == "X") return std::nullopt;  // it ended, and is not yet collected
  for (int i = 4; i < 22; ++i) fields >> field;
  int64_t start = 0;
  if (!(fields >> start)) return std::nullopt;
  return start;
}

Child::Child(asio::io_context& context, const ChildCommand& command)
    : output_(context), input_(context), ended_(context) {
  auto out = make_pipe();
  std::optional<Pipe> in;
  if (command.takes_input) in.emplace(make_pipe());
  const Descriptor nothing = open_or_fail("/dev/null", O_RDWR);
  const Descriptor log = command.log.empty() ? Descriptor(::fcntl(nothing.get(), F_DUPFD_CLOEXEC, 3))
                                             : open_or_fail(command.log, O_WRONLY | O_CREAT | O_APPEND);
  auto words = command.words;
  auto variables = environment_with(command);
  const auto argv = pointers(words), envp = pointers(variables);
  const pid_t parent = ::getpid();
  cpu_set_t cores;
  CPU_ZERO(&cores);
  for (const int core : command.cores) CPU_SET(core, &cores);
  // The server's handlers write to a pipe that the child shares: a signal to the child would stop the server.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);
  id_ = ::fork();
  const int failure = errno;
  if (id_ != 0) ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (id_ < 0) throw_io_error(command.words.front(), "cannot be run", failure);
  if (id_ == 0)
    become(argv.data(), envp.data(), command.folder.c_str(), in ? in->reads.get() : nothing.get(),
           out.writes.get(), log.get(), parent, command.cores.empty() ? nullptr : &cores);
  output_.assign(::fcntl(out.reads.get(), F_DUPFD_CLOEXEC, 3));
  if (in) input_.assign(::fcntl(in->writes.get(), F_DUPFD_CLOEXEC, 3));
  const int watched = static_cast<int>(::syscall(SYS_pidfd_open, id_, 0));
  if (watched < 0) throw_io_error(command.words.front(), "cannot be watched", errno);
  ended_.assign(watched);
}

Child::~Child() {
  if (code_) return;
  ::kill(-id_, SIGKILL);
  ::kill(id_, SIGKILL);
  int status = 0;
  while (::waitpid(id_, &status, 0) < 0 && errno == EINTR) {
  }
}

void Child::signal(int number) const {
  if (!code_) ::kill(id_, number);
}

asio::awaitable<std::optional<std::string>> Child::line() {
  boost::system::error_code code;
  co_await asio::async_read_until(output_, buffer_, '\n', asio::redirect_error(asio::use_awaitable, code));
  if (code == asio::error::not_found) throw IoError("child", "a line of more than 16 MiB");
  if (code) co_return std::nullopt;
  std::istream stream(&buffer_);
  std::string text;
  std::getline(stream, text);
  co_return text;
}

asio::awaitable<void> Child::write(const std::string& bytes) {
  co_await asio::async_write(input_, asio::buffer(bytes), asio::use_awaitable);
}

asio::awaitable<int> Child::end() {
  if (code_) co_return *code_;
  boost::system::error_code ignored;
  co_await ended_.async_wait(asio::posix::stream_descriptor::wait_read,
                             asio::redirect_error(asio::use_awaitable, ignored));
  int status = 0;
  while (::waitpid(id_, &status, 0) < 0 && errno == EINTR) {
  }
  code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  co_return *code_;
}

}  // namespace thalweg::service
