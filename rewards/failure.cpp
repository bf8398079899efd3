#include "rewards/failure.h"

#include <algorithm>
#include <utility>

namespace thalweg {
namespace {

constexpr int64_t kMostReasons = 32;
constexpr const char* kOtherReasons = "other reasons";

RewardFailure* found(std::vector<RewardFailure>& failures, const std::string& plugin,
                     const std::string& reason) {
  const auto it = std::find_if(failures.begin(), failures.end(), [&](const auto& failure) {
    return failure.plugin == plugin && failure.reason == reason;
  });
  return it == failures.end() ? nullptr : &*it;
}

}  // namespace

void add_failures(std::vector<RewardFailure>& total, const std::vector<RewardFailure>& more) {
  for (const auto& failure : more) {
    auto* known = found(total, failure.plugin, failure.reason);
    if (known == nullptr && std::count_if(total.begin(), total.end(), [&](const auto& f) {
                              return f.plugin == failure.plugin;
                            }) >= kMostReasons) {
      known = found(total, failure.plugin, kOtherReasons);
      if (known == nullptr) known = &total.emplace_back(RewardFailure{failure.plugin, kOtherReasons});
    }
    if (known == nullptr) known = &total.emplace_back(RewardFailure{failure.plugin, failure.reason});
    known->samples += failure.samples;
    known->calls += failure.calls;
  }
}

void FailureSink::add(const std::vector<RewardFailure>& failures) {
  const std::lock_guard lock(mutex_);
  add_failures(failures_, failures);
}

std::vector<RewardFailure> FailureSink::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(failures_, {});
}

std::string failure_reasons(const std::vector<RewardFailure>& failures) {
  std::string text;
  for (const auto& failure : failures) text += "; " + failure.plugin + ": " + failure.reason;
  return text;
}

}  // namespace thalweg
