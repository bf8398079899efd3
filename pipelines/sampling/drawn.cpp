#include "pipelines/sampling/drawn.h"

#include <ATen/ATen.h>

#include <string>
#include <utility>

#include "pipelines/stages/reward_failures.h"

namespace thalweg {
namespace {

constexpr std::pair<const char*, at::Tensor Drawn::*> kTensors[] = {
    {"latents", &Drawn::latents}, {"frames", &Drawn::frames}, {"grid", &Drawn::grid_N3HW}};

constexpr std::pair<const char*, at::Tensor ParticleRecord::*> kParticleTensors[] = {
    {"log_weights", &ParticleRecord::log_weights_B},
    {"ancestors", &ParticleRecord::ancestors_B},
    {"ess", &ParticleRecord::ess_TG},
    {"survivors", &ParticleRecord::survivors_TG},
    {"log_evidence", &ParticleRecord::log_evidence_G},
    {"unscored", &ParticleRecord::unscored_TG},
    {"particle_rewards", &ParticleRecord::rewards_B}};

}  // namespace

TensorMap tensors_of(const Drawn& d) {
  TensorMap tensors;
  const auto put = [&](const std::string& name, const at::Tensor& tensor) {
    if (tensor.defined()) tensors[std::to_string(d.first) + "." + name] = tensor;
  };
  for (const auto& [name, member] : kTensors) put(name, d.*member);
  put("prompts", at::tensor(d.prompts, at::kLong));
  put("rewards", d.rewards.values_BK);
  put("scored", d.rewards.valid_BK);
  if (d.particles)
    for (const auto& [name, member] : kParticleTensors) put(name, (*d.particles).*member);
  return tensors;
}

Json state_of(const Drawn& d) {
  Json state = {{"first", d.first},
                {"count", d.count},
                {"rewards", d.rewards.names_K},
                {"failures", failures_json(d.rewards.failures)},
                {"particles", d.particles ? d.particles->particles : 0},
                {"not_finite", d.not_finite},
                {"cost", d.cost.counts()}};
  state["cost"]["failures"] = failures_json(d.cost.failures);
  return state;
}

Drawn drawn_from(const Json& state, const TensorMap& tensors) {
  Drawn d;
  d.first = state.at("first").get<int64_t>();
  d.count = state.at("count").get<int64_t>();
  d.not_finite = state.at("not_finite").get<int64_t>();
  const auto prefix = std::to_string(d.first) + ".";
  const auto get = [&](const std::string& name) {
    const auto it = tensors.find(prefix + name);
    return it == tensors.end() ? at::Tensor() : it->second;
  };
  const auto prompts = tensors.at(prefix + "prompts").contiguous();
  d.prompts.assign(prompts.const_data_ptr<int64_t>(), prompts.const_data_ptr<int64_t>() + prompts.numel());
  for (const auto& [name, member] : kTensors) d.*member = get(name);
  d.rewards = {state.at("rewards").get<std::vector<std::string>>(), get("rewards"), get("scored"),
               failures_from_json(state.at("failures"))};
  if (const auto particles = state.at("particles").get<int64_t>(); particles > 0) {
    d.particles.emplace().particles = particles;
    for (const auto& [name, member] : kParticleTensors) (*d.particles).*member = get(name);
  }
  const auto& cost = state.at("cost");
  for (const auto& [name, count] : kSteeringCounts) d.cost.*count = cost.at(name).get<int64_t>();
  d.cost.failures = failures_from_json(cost.at("failures"));
  return d;
}

at::Tensor gathered(const std::vector<Drawn>& all, at::Tensor Drawn::*member) {
  std::vector<at::Tensor> parts;
  for (const auto& drawn : all)
    if ((drawn.*member).defined()) parts.push_back(drawn.*member);
  return parts.empty() ? at::Tensor() : at::cat(parts);
}

TensorMap particle_weights_of(const std::vector<Drawn>& all) {
  std::vector<at::Tensor> log_weights, ancestors;
  for (const auto& drawn : all) {
    const auto& record = drawn.particles;
    if (!record || record->particles == 1 ||
        record->log_weights_B.size(0) != static_cast<int64_t>(drawn.prompts.size()))
      return {};
    log_weights.push_back(record->log_weights_B);
    ancestors.push_back(record->ancestors_B);
  }
  return {{"log_weights", at::cat(log_weights)}, {"ancestors", at::cat(ancestors)}};
}

}  // namespace thalweg
