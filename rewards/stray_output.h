// Standard output belongs to whoever reads the program; a plugin that prints must not reach it.
#pragma once

#include <mutex>
#include <string>

namespace thalweg {

/// From here on, what anyone in this process writes to descriptor 1 is kept aside. Returns a descriptor of
/// the standard output as it was, for the program alone; 1 where the system gives no other. Once, at the
/// start.
int keep_standard_output();

/// Takes what was kept since the last call, and copies it to standard error. "" when there was nothing, or
/// keep_standard_output was never called. Cut at 64 KiB. [any thread]
std::string take_stray_output();

/// Tells whether one call prints. The process has one standard output, so where it is kept, watched calls
/// wait for each other: what one printed is never said of another, whatever the threads do.
class StrayOutputWatch {
 public:
  StrayOutputWatch();
  /// Since the watch began.
  bool printed();

 private:
  std::unique_lock<std::recursive_mutex> lock_;
};

}  // namespace thalweg
