#include "rewards/hosted/child.h"

#include <sys/resource.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "engine/core/error.h"

namespace thalweg {
namespace {

constexpr double kPatience_s = 5.0;  // for one that was asked to end

}  // namespace

ChildProcess::ChildProcess(const std::vector<std::string>& command, const SharedMemory& memory,
                           double memory_bytes) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw IoError("a process for rewards", std::generic_category().message(errno));
  wire_.emplace(Descriptor(ends[0]));
  const Descriptor theirs(ends[1]);
  process_.emplace(command,
                   std::vector<GivenDescriptor>{{theirs.get(), kSocket}, {memory.descriptor(), kMemory}});
  if (memory_bytes > 0.0) {
    const auto bytes = static_cast<rlim_t>(memory_bytes);
    const rlimit limit{bytes, bytes};
    ::prlimit(process_->id(), RLIMIT_DATA, &limit, nullptr);
  }
}

ChildProcess::~ChildProcess() {
  if (!process_) return;
  try {
    wire_->send({{"op", "close"}});
  } catch (const WireBroken&) {  // it is gone already
  }
  process_->has_ended(kPatience_s);
}

}  // namespace thalweg
