// thalweg-reward-host: one reward library in a process of its own. The program starts it, with a socket and
// shared memory at the descriptors that ChildProcess names; it ends with the program.
#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <thread>

#include "rewards/hosted/child.h"
#include "rewards/hosted/serve.h"
#include "rewards/kept_state.h"
#include "rewards/stray_output.h"

namespace {

// A library that never returns must not outlive the program.
void end_with(int socket) {
  std::thread([socket] {
    pollfd line{socket, POLLRDHUP, 0};
    while (::poll(&line, 1, -1) < 0) {
    }
    ::_exit(0);
  }).detach();
}

}  // namespace

int main() {
  using thalweg::ChildProcess;
  try {
    thalweg::Wire wire{thalweg::Descriptor(ChildProcess::kSocket)};
    thalweg::SharedMemory memory{thalweg::Descriptor(ChildProcess::kMemory)};
    thalweg::keep_standard_output();
    thalweg::keep_process_state();
    end_with(wire.descriptor());
    thalweg::serve_rewards(wire, memory);
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "thalweg-reward-host: %s\n", e.what());
    return 1;
  }
}
