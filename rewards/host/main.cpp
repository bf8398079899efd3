// thalweg-reward-host: a reward in a process of its own, held to its sandbox. The program starts it, with a
// socket and shared memory at the descriptors that ChildProcess names; it ends with the program.
//   thalweg-reward-host [--sandbox JSON [-- COMMAND...]]
// It serves a library itself; with a command it becomes that, which serves.
#include <poll.h>
#include <sys/prctl.h>
#include <thalweg/ext/log.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string_view>
#include <system_error>
#include <thread>

#include "engine/core/error.h"
#include "engine/core/json.h"
#include "engine/sandbox/capabilities.h"
#include "engine/sandbox/landlock.h"
#include "engine/sandbox/system_calls.h"
#include "rewards/host/system_places.h"
#include "rewards/hosted/child.h"
#include "rewards/hosted/sandbox.h"
#include "rewards/hosted/serve.h"
#include "rewards/kept_state.h"
#include "rewards/stray_output.h"

namespace {

using namespace thalweg;

constexpr int kHasTruncate = 3;  // Landlock's version from which it says who may cut a file

// A library that never returns must not outlive the program.
void end_with(int socket) {
  std::thread([socket] {
    pollfd line{socket, POLLRDHUP, 0};
    while (::poll(&line, 1, -1) < 0) {
    }
    ::_exit(0);
  }).detach();
}

// What this kernel cannot do is said, and the reward runs all the same.
void enter(const Sandbox& sandbox, Wire& wire) {
  const auto say = [&](const std::string& what) {
    wire.send({{"log", {THALWEG_LOG_WARNING, "sandbox: " + what}}});
  };
  auto files = system_places(sandbox.network, sandbox.gpu);
  files.read.insert(files.read.end(), sandbox.readable.begin(), sandbox.readable.end());
  files.list.assign(sandbox.listed.begin(), sandbox.listed.end());
  files.write.assign(sandbox.writable.begin(), sandbox.writable.end());
  if (!sandbox.temporary.empty()) {
    files.write.emplace_back(sandbox.temporary);
    for (const auto* variable : {"TMPDIR", "TMP", "TEMP"}) ::setenv(variable, sandbox.temporary.c_str(), 1);
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    say("not available here (" + std::generic_category().message(errno) +
        "): this reward may do all that you may");
    return;
  }
  drop_capabilities();
  const auto no_files = keep_to(files);
  if (!no_files.empty())
    say("Landlock is not available here (" + no_files +
        "): what this reward reads and writes is not restricted");
  const int version = landlock_version(nullptr);
  const auto no_calls = refuse_system_calls(
      {.network = sandbox.network, .truncation = version == 0 || version >= kHasTruncate});
  if (!no_calls.empty())
    say("seccomp is not available here (" + no_calls +
        "): this reward's network and system calls are not restricted");
}

int serve(Wire& wire) {
  SharedMemory memory{Descriptor(ChildProcess::kMemory)};
  keep_standard_output();
  keep_process_state();
  end_with(wire.descriptor());
  serve_rewards(wire, memory);
  return 0;
}

[[noreturn]] void become(char** command) {
  ::execvp(command[0], command);
  throw IoError(command[0], "cannot be run: " + std::generic_category().message(errno));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Wire wire{Descriptor(ChildProcess::kSocket)};
    if (argc >= 3 && argv[1] == std::string_view("--sandbox"))
      enter(sandbox_from(parse_json(argv[2], "--sandbox")), wire);
    if (argc >= 5 && argv[3] == std::string_view("--")) become(argv + 4);
    return serve(wire);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "thalweg-reward-host: %s\n", e.what());
    return 1;
  }
}
