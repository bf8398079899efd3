#include "pipelines/cli/plan_table.h"

#include <cstdio>

#include "pipelines/plan/load.h"
#include "pipelines/report/format.h"

namespace thalweg::cli {
namespace {

std::string memory(double bytes) {
  char text[32];
  if (bytes >= 1e9)
    std::snprintf(text, sizeof text, "%.2f GB", bytes / 1e9);
  else
    std::snprintf(text, sizeof text, "%.1f MB", bytes / 1e6);
  return text;
}

std::string line(const std::string& name, const std::string& first, const std::string& second = "") {
  char text[160];
  std::snprintf(text, sizeof text, "  %-28s %12s %12s\n", name.c_str(), first.c_str(), second.c_str());
  std::string out = text;
  out.erase(out.find_last_not_of(" \n") + 1);
  return out + "\n";
}

// "network  128, each by 112 network evaluations (28 with gradient), 9 rewards"
// "training 960, each by 8 network evaluations, 4 backward"
std::string drawn(const PlanDraw& draw) {
  const auto each = [&](double all) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4g", all / draw.samples);
    return std::string(text);
  };
  const auto counted = [&](double all, double with_gradient, const char* what) {
    return each(all) + what + (with_gradient > 0.0 ? " (" + each(with_gradient) + " with gradient)" : "");
  };
  char text[96];
  std::snprintf(text, sizeof text, "  %-12s %.0f, each by ", draw.phase.c_str(), draw.samples);
  if (draw.phase == kTraining)
    return text + each(draw.network_evaluations) + " network evaluations, " + each(draw.network_gradients) +
           " backward\n";
  return text + counted(draw.network_evaluations, draw.network_gradients, " network evaluations") +
         (draw.reward_calls > 0.0 ? ", " + counted(draw.reward_calls, draw.reward_gradients, " rewards")
                                  : "") +
         "\n";
}

std::string advice_of(const Plan& plan) {
  if (plan.advice.empty()) return "";
  std::string out = plan.fits() ? "To lower the peak\n" : "It does not fit. To lower the peak\n";
  for (const auto& a : plan.advice)
    out += "  " + a.setting + " " + a.from + " -> " + a.to + ": " + memory(plan.peak_bytes) + " -> " +
           memory(a.peak_bytes) + (!plan.fits() && a.peak_bytes <= plan.available_bytes ? " (fits)" : "") +
           "\n";
  return out;
}

}  // namespace

std::string plan_table(const Plan& plan) {
  std::string out = plan.job + ": ";
  if (plan.held.empty()) return out + plan.note + "\n";
  out += plan.measured ? "by a rehearsal on this machine\n"
         : plan.phases.empty()
             ? "by configs and headers (rough)\n"
             : "by configs and headers, with this machine's speed of matrix products (rough)\n";
  if (!plan.note.empty()) out += plan.note + "\n";
  out += "Memory held throughout\n";
  for (const auto& item : plan.held) out += line(item.name, memory(item.bytes));
  out += "Memory on top, by phase (estimated)\n";
  for (const auto& item : plan.transient) out += line(item.name, memory(item.bytes));
  out +=
      line("peak", memory(plan.peak_bytes), plan.knows_room() ? "of " + memory(plan.available_bytes) : "") +
      "  (" + plan.limit + ")\n";
  out += "Samples drawn, and trained on\n";
  for (const auto& draw : plan.draws) out += drawn(draw);
  if (!plan.phases.empty()) out += "Time of the whole run                wall          CPU\n";
  for (const auto& phase : plan.phases)
    out += line(phase.name, format_duration(phase.wall_s), format_duration(phase.cpu_s));
  if (!plan.phases.empty())
    out += line("total", format_duration(plan.total_s), format_duration(plan.total_cpu_s));
  if (plan.iteration_s > 0.0) out += line("one iteration", format_duration(plan.iteration_s));
  if (plan.disk_bytes > 0.0) out += "Disk\n" + line("weights and checkpoints", memory(plan.disk_bytes));
  return out + advice_of(plan);
}

}  // namespace thalweg::cli
