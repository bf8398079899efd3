#include "pipelines/steering/summary.h"

#include <ATen/ATen.h>

#include <cmath>
#include <cstdio>
#include <set>

#include "samplers/particles/weights.h"

namespace thalweg {
namespace {

// Mean over the last axis of a quantity of all micro-batches; null where no micro-batch has it.
Json mean_over_groups(const std::vector<ParticleRecord>& records, at::Tensor ParticleRecord::*member) {
  std::vector<at::Tensor> parts;
  for (const auto& record : records)
    if ((record.*member).defined()) parts.push_back(record.*member);
  if (parts.empty()) return nullptr;
  const auto mean = at::cat(parts, -1).to(at::kDouble).mean(-1);
  if (mean.dim() == 0) return mean.item<double>();
  Json list = Json::array();
  for (int64_t t = 0; t < mean.size(0); ++t) list.push_back(mean[t].item<double>());
  return list;
}

// log of the mean over groups of Z: the mean of log Z is too low by half its variance. Groups in which
// nothing was scored in the end say nothing.
Json log_evidence(const std::vector<ParticleRecord>& records) {
  std::vector<at::Tensor> parts;
  for (const auto& record : records)
    if (record.log_evidence_G.defined()) parts.push_back(record.log_evidence_G);
  if (parts.empty()) return nullptr;
  const auto all_G = at::cat(parts);
  const auto known_G = all_G.masked_select(all_G.isfinite()).view({1, -1});
  return known_G.numel() == 0 ? Json(nullptr) : Json(log_mean_exp(known_G).item<double>());
}

Json unique_ancestors(const std::vector<ParticleRecord>& records) {
  int64_t groups = 0, unique = 0;
  for (const auto& record : records) {
    if (!record.ancestors_B.defined()) continue;
    const auto ancestors = record.ancestors_B.contiguous();
    const auto* first = ancestors.const_data_ptr<int64_t>();
    for (int64_t g = 0; g < ancestors.numel(); g += record.particles, ++groups)
      unique += static_cast<int64_t>(std::set<int64_t>(first + g, first + g + record.particles).size());
  }
  return groups == 0 ? Json(nullptr) : Json(static_cast<double>(unique) / static_cast<double>(groups));
}

// Mean over groups of sum w r / sum w over the particles that were scored.
Json weighted_reward(const std::vector<ParticleRecord>& records) {
  double sum = 0.0;
  int64_t groups = 0;
  for (const auto& record : records) {
    if (!record.rewards_B.defined() || !record.log_weights_B.defined()) continue;
    const auto reward_GN = record.rewards_B.view({-1, record.particles});
    const auto known = reward_GN.isfinite();
    const auto log_weights = at::where(known, record.log_weights_B.view_as(reward_GN), -INFINITY);
    const auto mean_G = (at::softmax(log_weights, 1) * at::where(known, reward_GN, 0.0)).sum(1);
    const auto scored_G = mean_G.isfinite();  // NaN: nothing in the group has a weight
    sum += at::where(scored_G, mean_G, 0.0).sum().item<double>();
    groups += scored_G.sum().item<int64_t>();
  }
  return groups == 0 ? Json(nullptr) : Json(sum / static_cast<double>(groups));
}

}  // namespace

Json steering_summary(const std::vector<ParticleRecord>& records, int64_t samples, const SteeringCost& cost) {
  Json summary = {{"samples", samples}};
  summary.update(cost.counts());
  for (const char* count : {"network_evaluations", "reward_calls"})
    summary[std::string(count) + "_per_sample"] =
        summary.at(count).get<double>() / static_cast<double>(samples);
  const auto add = [&](const char* key, Json value) {
    if (!value.is_null()) summary[key] = std::move(value);
  };
  add("ess", mean_over_groups(records, &ParticleRecord::ess_TG));
  add("survivors", mean_over_groups(records, &ParticleRecord::survivors_TG));
  add("unscored", mean_over_groups(records, &ParticleRecord::unscored_TG));
  add("unique_ancestors", unique_ancestors(records));
  add("weighted_reward", weighted_reward(records));
  add("log_evidence", log_evidence(records));
  return summary;
}

std::string steering_line(const Json& summary) {
  const auto number = [&](const char* key) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4g", summary.at(key).get<double>());
    return std::string(text);
  };
  auto line = "steering: " + number("network_evaluations_per_sample") + " network evaluations and " +
              number("reward_calls_per_sample") + " rewards a sample";
  if (summary.contains("unique_ancestors"))
    line += "; " + number("unique_ancestors") + " first particles of a group have offspring in the end";
  return line;
}

}  // namespace thalweg
