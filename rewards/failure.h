// What rewards left without a value, and why.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace thalweg {

/// One reason of one plugin, over one or more calls.
struct RewardFailure {
  std::string plugin;
  std::string reason;   // clean UTF-8: the plugin's own text, or what is wrong with its values
  int64_t samples = 0;  // that it left without a value or gradient; 0 where it scored, but broke a rule
  int64_t calls = 0;
};

/// Adds `more` to `total`: counts grow where plugin and reason agree, new reasons come at the end. A plugin
/// that finds a new text for each sample is cut at 32 reasons; the rest are counted as "other reasons".
void add_failures(std::vector<RewardFailure>& total, const std::vector<RewardFailure>& more);

/// Collects failures of calls and of their backward passes, which come later and on any thread.
class FailureSink {
 public:
  void add(const std::vector<RewardFailure>& failures);
  /// What was collected since the last time.
  std::vector<RewardFailure> take();

 private:
  std::mutex mutex_;
  std::vector<RewardFailure> failures_;
};

/// "; plugin: reason" for each.
std::string failure_reasons(const std::vector<RewardFailure>& failures);

}  // namespace thalweg
