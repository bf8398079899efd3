#include "engine/sandbox/system_calls.h"

#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <system_error>

namespace thalweg {
namespace {

// Other processes, the system itself, and ways around the rules for files.
constexpr const char* kRefused[] = {"ptrace",
                                    "process_vm_readv",
                                    "process_vm_writev",
                                    "process_madvise",
                                    "pidfd_getfd",
                                    "kcmp",
                                    "mount",
                                    "umount",
                                    "umount2",
                                    "move_mount",
                                    "fsopen",
                                    "fsconfig",
                                    "fsmount",
                                    "fspick",
                                    "open_tree",
                                    "mount_setattr",
                                    "pivot_root",
                                    "chroot",
                                    "unshare",
                                    "setns",
                                    "open_by_handle_at",
                                    "name_to_handle_at",
                                    "kexec_load",
                                    "kexec_file_load",
                                    "reboot",
                                    "init_module",
                                    "finit_module",
                                    "delete_module",
                                    "swapon",
                                    "swapoff",
                                    "acct",
                                    "quotactl",
                                    "quotactl_fd",
                                    "bpf",
                                    "perf_event_open",
                                    "userfaultfd",
                                    "keyctl",
                                    "add_key",
                                    "request_key",
                                    "settimeofday",
                                    "clock_settime",
                                    "clock_adjtime",
                                    "adjtimex",
                                    "stime",
                                    "sethostname",
                                    "setdomainname",
                                    "iopl",
                                    "ioperm",
                                    "syslog",
                                    "vhangup",
                                    "lookup_dcookie",
                                    "nfsservctl"};

// Said to be missing, for which their callers have another way: io_uring opens files and sockets past any
// filter, and the flags of clone3 lie in memory that a filter cannot read.
constexpr const char* kMissing[] = {"io_uring_setup", "io_uring_enter", "io_uring_register", "clone3"};

constexpr uint64_t kNewSpaces[] = {CLONE_NEWNS,  CLONE_NEWUTS, CLONE_NEWIPC,   CLONE_NEWUSER,
                                   CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWCGROUP};
constexpr uint64_t kInt = 0xffffffff;  // an argument's upper half is noise
constexpr uint32_t kFamilies = 64;     // more than there are
constexpr uint64_t kSocketType = 0xf;  // above it are flags

class Filter {
 public:
  Filter() : context_(::seccomp_init(SCMP_ACT_ALLOW), &::seccomp_release) {
    code_ = context_ ? ::seccomp_attr_set(context_.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM))
                     : -ENOMEM;
  }

  void refuse(const char* name, int with) { add(name, with, nullptr); }
  void refuse(const char* name, int with, scmp_arg_cmp when) { add(name, with, &when); }

  std::string load() {
    if (code_ == 0) code_ = ::seccomp_load(context_.get());
    return code_ == 0 ? "" : std::generic_category().message(-code_);
  }

 private:
  // A call that this system has not, or the library does not know, needs no rule.
  void add(const char* name, int with, const scmp_arg_cmp* when) {
    const int number = ::seccomp_syscall_resolve_name(name);
    if (code_ != 0 || number < 0) return;
    code_ = ::seccomp_rule_add_array(context_.get(), SCMP_ACT_ERRNO(static_cast<uint32_t>(with)), number,
                                     when == nullptr ? 0 : 1, when);
  }

  std::unique_ptr<void, decltype(&::seccomp_release)> context_;
  int code_ = 0;
};

scmp_arg_cmp is(unsigned argument, uint64_t value, uint64_t mask = kInt) {
  return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}

// EACCES reads "Permission denied", also in what a library makes of it.
void refuse_sockets(Filter& filter, const SystemCalls& left) {
  for (uint32_t family = 0; family < kFamilies; ++family) {
    const bool internet = family == AF_INET || family == AF_INET6 || family == AF_NETLINK;
    if (left.network && internet) continue;
    filter.refuse("socket", EACCES, is(0, family));
  }
  filter.refuse("socket", EACCES, {0, SCMP_CMP_GE, kFamilies, 0});
  // An end of such a pair may be connected to any name.
  filter.refuse("socketpair", EACCES, is(1, SOCK_DGRAM, kSocketType));
}

}  // namespace

std::string refuse_system_calls(const SystemCalls& left) {
  Filter filter;
  for (const auto* name : kRefused) filter.refuse(name, EPERM);
  for (const auto* name : kMissing) filter.refuse(name, ENOSYS);
  if (!left.truncation) filter.refuse("truncate", EACCES);
  for (const auto space : kNewSpaces) filter.refuse("clone", EPERM, is(0, space, space));
  // What is typed into a terminal by a program is run by the shell behind it.
  for (const auto request : {uint64_t{TIOCSTI}, uint64_t{TIOCLINUX}})
    filter.refuse("ioctl", EPERM, is(1, request));
  filter.refuse("prlimit64", EPERM, {0, SCMP_CMP_NE, 0, 0});  // of another process
  refuse_sockets(filter, left);
  return filter.load();
}

}  // namespace thalweg
