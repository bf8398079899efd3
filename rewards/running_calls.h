// The calls into libraries that have not returned. The list lies in memory that a process forked later
// shares, so whoever watches a program can name the call in which it died or hangs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace thalweg {

struct RunningCall {
  std::string plugin, function;
  double seconds = 0.0;  // since it began
};

/// Makes the list, for a process that is about to fork; else the first call does.
void share_running_calls();

/// Listed until destroyed. Lock-free; where 64 calls run already it is not listed.
class ListedCall {
 public:
  ListedCall(std::string_view plugin, std::string_view function);
  ~ListedCall();
  ListedCall(const ListedCall&) = delete;
  ListedCall& operator=(const ListedCall&) = delete;

 private:
  void* slot_ = nullptr;
};

/// Those that run now, or ran when the process that made them died; names are clean UTF-8, cut at 63 bytes.
std::vector<RunningCall> running_calls();

/// `the reward "loops" was in score`, with commas for several; "" when none runs.
std::string described(const std::vector<RunningCall>& calls);

}  // namespace thalweg
