#include "pipelines/stages/reward_failures.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace thalweg {
namespace {

Event masked_event(const std::string& phase, int64_t masked, int64_t samples, const std::string& why,
                   const std::vector<RewardFailure>& failures) {
  return {
      masked == samples ? "error" : "warn",
      "reward_failed",
      phase + ": " + std::to_string(masked) + " of " + std::to_string(samples) + " samples " + why +
          " and are masked" + failure_reasons(failures),
      {{"phase", phase}, {"masked", masked}, {"samples", samples}, {"failures", failures_json(failures)}}};
}

}  // namespace

std::optional<Event> failure_event(const std::string& phase, const RewardBatch& raw,
                                   const at::Tensor& valid_B) {
  const auto samples = valid_B.numel(), masked = samples - valid_B.sum().item<int64_t>();
  if (masked == 0 && raw.failures.empty()) return std::nullopt;
  return masked_event(phase, masked, samples, "were not scored", raw.failures);
}

Event lost_gradients_event(int64_t lost, int64_t samples, const std::vector<RewardFailure>& failures) {
  return masked_event("gradient", lost, samples, "left no gradient of their reward", failures);
}

bool any_scored(const RewardBatch& raw, const at::Tensor& valid_B) {
  return raw.valid_BK.any().item<bool>() && valid_B.any().item<bool>();
}

Json failures_json(const std::vector<RewardFailure>& failures) {
  Json list = Json::array();
  for (const auto& f : failures)
    list.push_back({{"plugin", f.plugin}, {"reason", f.reason}, {"samples", f.samples}, {"calls", f.calls}});
  return list;
}

std::vector<RewardFailure> failures_from_json(const Json& list) {
  std::vector<RewardFailure> failures;
  for (const auto& f : list)
    failures.push_back({f.at("plugin").get<std::string>(), f.at("reason").get<std::string>(),
                        f.at("samples").get<int64_t>(), f.at("calls").get<int64_t>()});
  return failures;
}

Json failure_summary(const std::vector<Json>& event_rows) {
  Json summary = Json::array();
  for (const auto& row : event_rows) {
    if (row.value("type", "") != "reward_failed") continue;
    const auto& data = row.at("data");
    for (const auto& failure : data.at("failures")) {
      const auto same = [&](const Json& entry) {
        return entry.at("plugin") == failure.at("plugin") && entry.at("reason") == failure.at("reason") &&
               entry.at("phase") == data.at("phase");
      };
      const auto it = std::find_if(summary.begin(), summary.end(), same);
      if (it == summary.end()) {
        summary.push_back(failure);
        summary.back()["phase"] = data.at("phase");
        summary.back()["first_step"] = row.at("step");
      } else {
        for (const char* count : {"samples", "calls"})
          (*it)[count] = it->at(count).get<int64_t>() + failure.at(count).get<int64_t>();
      }
    }
  }
  return summary;
}

}  // namespace thalweg
