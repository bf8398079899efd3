// `thalweg plan`: what a job will need, before it starts.
#pragma once

#include <c10/core/Device.h>

#include <string>
#include <vector>

#include "engine/core/json.h"

namespace thalweg {

enum class PlanMode {
  automatic,  // measure when that is quick and fits
  measure,    // load the model and run a little of each phase
  estimate,   // read configs and headers alone
};

struct PlanRequest {
  PlanMode mode = PlanMode::automatic;
  c10::Device device = c10::kCPU;  // a GPU: its memory by estimate alone, and no time; it need not be here
};

/// A thing that takes memory for the whole run, or the most that a phase takes beside those.
struct PlanMemory {
  std::string name;
  double bytes = 0.0;
};

/// A rehearsal's phase before anything is drawn.
inline constexpr const char* kLoadAndEncode = "load and encode";

struct PlanPhase {
  std::string name;
  double wall_s = 0.0;  // of the whole run
  double cpu_s = 0.0;   // all workers together
};

/// Samples drawn in the whole run and what is asked for them, as the section "steering" of result.json
/// counts: a network evaluation under classifier-free guidance is two.
struct PlanDraw {
  std::string phase;
  double samples = 0.0, network_evaluations = 0.0, network_gradients = 0.0, reward_calls = 0.0,
         reward_gradients = 0.0;
};

/// A setting that lowers the peak, and to what.
struct PlanAdvice {
  std::string setting;  // JSON pointer
  std::string from, to;
  double peak_bytes = 0.0;
};

struct Plan {
  std::string job;
  std::string note;       // what is not predicted, or how it was
  bool measured = false;  // else from configs, headers and this machine's matrix products
  std::vector<PlanMemory> held, transient;
  double peak_bytes = 0.0, available_bytes = 0.0;
  std::string limit;  // what `available_bytes` is: "memory of the machine", "memory limit of the control
                      // group", or of a GPU
  std::vector<PlanDraw> draws;
  std::vector<PlanPhase> phases;
  double iteration_s = 0.0;  // wall time of one iteration; 0: the job has none
  double total_s = 0.0, total_cpu_s = 0.0;
  double disk_bytes = 0.0;
  std::vector<PlanAdvice> advice;

  bool knows_room() const { return available_bytes > 0.0; }
  bool fits() const { return !knows_room() || peak_bytes <= available_bytes; }
};

Json plan_json(const Plan& plan);

}  // namespace thalweg
