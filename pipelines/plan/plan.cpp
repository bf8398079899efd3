#include "pipelines/plan/plan.h"

namespace thalweg {

Json plan_json(const Plan& p) {
  const auto memory_json = [](const std::vector<PlanMemory>& items) {
    Json list = Json::array();
    for (const auto& item : items) list.push_back({{"name", item.name}, {"bytes", item.bytes}});
    return list;
  };
  Json json = {{"job", p.job}, {"note", p.note}, {"measured", p.measured}};
  json["memory"] = {{"held", memory_json(p.held)},
                    {"transient", memory_json(p.transient)},
                    {"peak_bytes", p.peak_bytes},
                    {"available_bytes", p.available_bytes},
                    {"limit", p.limit},
                    {"fits", p.knows_room() ? Json(p.fits()) : Json(nullptr)}};
  json["draws"] = Json::array();
  for (const auto& draw : p.draws)
    json["draws"].push_back({{"phase", draw.phase},
                             {"samples", draw.samples},
                             {"network_evaluations", draw.network_evaluations},
                             {"network_gradients", draw.network_gradients},
                             {"reward_calls", draw.reward_calls},
                             {"reward_gradients", draw.reward_gradients}});
  json["time"] = {{"phases", Json::array()},
                  {"iteration_s", p.iteration_s},
                  {"total_s", p.total_s},
                  {"total_cpu_s", p.total_cpu_s}};
  for (const auto& phase : p.phases)
    json["time"]["phases"].push_back(
        {{"phase", phase.name}, {"wall_s", phase.wall_s}, {"cpu_s", phase.cpu_s}});
  json["disk_bytes"] = p.disk_bytes;
  json["advice"] = Json::array();
  for (const auto& a : p.advice)
    json["advice"].push_back(
        {{"setting", a.setting}, {"from", a.from}, {"to", a.to}, {"peak_bytes", a.peak_bytes}});
  return json;
}

}  // namespace thalweg
