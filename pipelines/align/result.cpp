#include <algorithm>

#include "engine/core/device.h"
#include "pipelines/align/few_step.h"
#include "pipelines/align/summary.h"
#include "pipelines/machine_paths.h"

namespace thalweg {
namespace {

Json difference_json(const PairedDifference& d) {
  return {{"before", d.mean_before}, {"after", d.mean_after},
          {"difference", d.mean},    {"low", d.low},
          {"high", d.high},          {"n", d.n},
          {"dropped", d.dropped}};
}

Json alarm_json(const Alarm& a) {
  return {{"type", a.type},
          {"since", a.since},
          {"until", a.until < 0 ? Json(nullptr) : Json(a.until)},
          {"message", a.text},
          {"metric", a.reading.metric},
          {"baseline", a.reading.baseline},
          {"now", a.reading.now},
          {"threshold", a.threshold},
          {"advice", a.advice}};
}

Json self_check_json(const Json& event) {
  Json check = event.at("data");
  check["at"] = event.at("step");
  check["message"] = event.at("message");
  return check;
}

}  // namespace

Json result_of(const AlignContext& c, const AlignSummary& s, double wall_s, double cpu_s) {
  Json result = {{"job", "align"}, {"method", c.options.method.name()}};
  result["iterations"] = c.options.iterations;
  result["ended"] = {{"by", s.ended_early.empty() ? "iterations" : "early_stop"}, {"at", s.iterations}};
  if (!s.ended_early.empty()) result["ended"]["why"] = s.ended_early;
  if (s.self_check.is_object()) result["self_check"] = self_check_json(s.self_check);
  result["reference"] = c.options.reference;
  result["checkpoint"] = {
      {"step", s.best_step}, {"chosen_by", s.metric}, {"on", c.options.prompts.to_select().path}};
  for (size_t i = 0; i < s.names.size(); ++i) result["eval"][s.names[i]] = difference_json(s.differences[i]);
  const auto metric =
      static_cast<size_t>(std::find(s.names.begin(), s.names.end(), s.metric) - s.names.begin());
  const auto value = [&](const BaselineScore& b) {
    return metric == 0 ? b.mean_total : b.mean_K[metric - 1];
  };
  if (c.generator) result["generator"] = generator_json(c.options, *c.training.model, *c.generator);
  result["baselines"] = Json::array();
  for (const auto& b : s.baselines) {
    Json row = {{"guidance_scale", b.guidance_scale}, {"reward", b.mean_total}};
    for (size_t k = 0; k < b.mean_K.size(); ++k) row[s.names[k + 1]] = b.mean_K[k];
    result["baselines"].push_back(std::move(row));
  }
  if (!s.baselines.empty()) {
    const auto best = std::max_element(s.baselines.begin(), s.baselines.end(),
                                       [&](const auto& a, const auto& b) { return value(a) < value(b); });
    result["best_baseline"] = {{"guidance_scale", best->guidance_scale},
                               {s.metric, value(*best)},
                               {"aligned_guidance_scale", c.options.evaluate.guidance_scale},
                               {"aligned", s.after_means[metric]},
                               {"aligned_is_better", s.after_means[metric] > value(*best)}};
  }
  if (!c.shared_prompts.empty()) result["prompts_shared"] = c.shared_prompts;
  result["reward_failures"] = s.reward_failures;
  result["alarms"] = Json::array();
  for (const auto& alarm : s.alarms) result["alarms"].push_back(alarm_json(alarm));
  result["time_wall_s"] = wall_s;  // of the whole run; the rest since it was resumed
  result["time_cpu_s"] = cpu_s;
  for (const auto& timing : c.timings())
    result["time_phases"][timing.phase] = {{"wall_s", timing.wall}, {"cpu_s", timing.cpu}};
  result["memory_peak_bytes"] = peak_memory(c.training.device());  // since the run was resumed
  return without_machine_paths(result);
}

}  // namespace thalweg
