// Threads that speak to servers take no signals.
#pragma once

#include <pthread.h>

#include <csignal>

namespace remote {

/// Threads begun while it lives take no signal: those are the program's affair, and the SIGPIPE of a
/// connection that the other side has closed would end it. What is pending for a thread goes with it.
class WithoutSignals {
 public:
  WithoutSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~WithoutSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  WithoutSignals(const WithoutSignals&) = delete;
  WithoutSignals& operator=(const WithoutSignals&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace remote
