// The "steering" list of a `sample` job: samples are led to the rewards without training. Entries are
// guidance (a change of the velocity; any number of them, applied in the order of the list after
// classifier-free guidance) or a way of sampling (particles, look-ahead; one at most).
#pragma once

#include <string>
#include <vector>

#include "pipelines/sections.h"
#include "samplers/doob/doob.h"
#include "samplers/guidance/euphonium.h"
#include "samplers/guidance/spsa.h"
#include "samplers/kernel.h"
#include "samplers/particles/best_of_n.h"
#include "samplers/particles/das.h"
#include "samplers/particles/fk.h"
#include "samplers/particles/guided_smc.h"
#include "samplers/particles/svdd.h"

namespace thalweg {

/// One entry. Each method keeps its own options; the name says which are meant.
struct SteeringEntry {
  std::string name, pointer;
  BestOfNOptions best_of_n = {};
  FkOptions fk = {};
  SvddOptions svdd = {};
  DasOptions das = {};
  GuidedSmcOptions guided_smc = {};
  TiltOptions tilt = {};  // of flow_nrg, dps, mpgd and spsa
  SpsaOptions spsa = {};
  EuphoniumOptions euphonium = {};
  std::string euphonium_gradient = "process_reward";  // or "spsa"
  DoobOptions doob = {};
};
void describe(Fields& fields, SteeringEntry& entry);

/// What a method asks of the job beside rewards.
struct SteeringNeeds {
  bool reward_gradient = false;  // of every reward with a weight
  bool noisy_latents = false;    // rewards that score latents at a noise level
  bool kernel = false;           // a sampler that steps by a kernel
  bool noise = false;            // and that draws noise
  bool marginals = false;        // and keeps the marginals of the ODE
};

/// A row of the table of methods (pipelines/builtin.cpp): `guidance` or `sample`, the other being null.
struct SteeringRow {
  const char* name;
  const char* doc;
  void (*describe)(Fields&, SteeringEntry&);
  /// What bounds do not say. Throws Error below entry.pointer.
  void (*check)(const SteeringEntry&, int64_t steps);
  SteeringNeeds (*needs)(const SteeringEntry&);
  Guidance (*guidance)(const SteeringEntry&, const RewardValue&, uint64_t seed);
  Trajectory (*sample)(const SteeringEntry&, const SamplerInput&, const Kernel&, const RewardValue&);
  /// Samples that are drawn together for one that is asked for; null: one.
  int64_t (*particles)(const SteeringEntry&);
};
const std::vector<SteeringRow>& steering_table();

/// How the samples of a job are drawn.
struct Steering {
  int64_t particles = 1;  // rows of the sampler's input for each sample
  Guidance guidance;
  std::function<Trajectory(const SamplerInput&)> sample;  // empty: the job's own sampler
};

/// Samples that are drawn together for one that is asked for.
int64_t particles_of(const std::vector<SteeringEntry>& entries);

/// Throws Error at the entry for methods that do not go together, with the sampler or without rewards.
void check_steering(const std::vector<SteeringEntry>& entries, const SamplerSection& sampler,
                    const std::vector<RewardSpec>& rewards);

/// Throws Error at the entry for a method that asks for more than the rewards can do, naming the methods that
/// would work.
void require_abilities(const std::vector<SteeringEntry>& entries, const RewardSet& rewards);

Steering make_steering(const std::vector<SteeringEntry>& entries, const SamplerSection& sampler,
                       StepWindow window, const RewardValue& reward, uint64_t seed);

}  // namespace thalweg
