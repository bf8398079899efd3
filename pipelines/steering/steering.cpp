#include "pipelines/steering/steering.h"

#include "engine/core/error.h"
#include "engine/core/names.h"

namespace thalweg {
namespace {

const SteeringRow& row_of(const SteeringEntry& entry) {
  for (const auto& row : steering_table())
    if (entry.name == row.name) return row;
  throw Error(entry.pointer + "/name", "knows no \"" + entry.name + "\"");
}

// Methods that ask for neither gradients nor rewards at a noise level.
std::string undemanding_methods() {
  std::vector<std::string> names;
  for (const auto& row : steering_table()) {
    SteeringEntry entry;
    entry.name = row.name;
    const auto needs = row.needs(entry);
    if (!needs.reward_gradient && !needs.noisy_latents) names.emplace_back(row.name);
  }
  return join(names);
}

}  // namespace

void describe(Fields& f, SteeringEntry& entry) {
  entry.pointer = f.pointer();
  std::vector<Fields::Alternative> alternatives;
  for (const auto& row : steering_table())
    alternatives.push_back({row.name, row.doc, [&entry, &row](Fields& v) { row.describe(v, entry); }});
  f.variant({"name", "method", true}, entry.name, alternatives);
}

int64_t particles_of(const std::vector<SteeringEntry>& entries) {
  for (const auto& entry : entries)
    if (const auto& row = row_of(entry); row.particles) return row.particles(entry);
  return 1;
}

void check_steering(const std::vector<SteeringEntry>& entries, const SamplerSection& sampler,
                    const std::vector<RewardSpec>& rewards) {
  const SteeringEntry* sampled = nullptr;
  for (const auto& entry : entries) {
    const auto& row = row_of(entry);
    const auto place = entry.pointer + "/name";
    row.check(entry, sampler.steps);
    if (rewards.empty()) throw Error("/rewards", "is empty: " + entry.name + " steers by the job's rewards");
    if (row.sample && sampled)
      throw Error(place, sampled->name + " and " + entry.name + " are both ways of sampling: keep one");
    if (row.sample) sampled = &entry;
    if (row.sample && sampler.tail_ratio < 1.0)
      throw Error("/sampler/tail_ratio", entry.name + " takes every step of the schedule; leave it at 1");
    const auto needs = row.needs(entry);
    const auto& base = sampler_named(sampler.name);
    if (needs.kernel && !base.kernel)
      throw Error("/sampler/name", entry.name +
                                       " needs a sampler that goes step by step with a kernel, not " +
                                       sampler.name + "; use flow_sde, or memoryless");
    if (needs.marginals && sampler.name == "cps")
      throw Error("/sampler/name", entry.name +
                                       " needs a sampler that keeps the marginals, which cps does not: its "
                                       "weights would be wrong; use flow_sde, or memoryless");
    if (needs.noise && !base.log_prob)
      throw Error("/sampler/name",
                  entry.name + " needs a sampler that draws noise, not " + sampler.name +
                      ": copies of a sample would stay the same; use flow_sde, or memoryless");
    if (needs.noise && !draws_noise(sampler))
      throw Error("/sampler/noise_level", "must be above 0: " + entry.name +
                                              " needs a sampler that draws noise, else copies of a sample "
                                              "would stay the same");
  }
}

void require_abilities(const std::vector<SteeringEntry>& entries, const RewardSet& rewards) {
  for (const auto& entry : entries) {
    const auto needs = row_of(entry).needs(entry);
    const auto place = entry.pointer + "/name";
    if (const auto without = rewards.without_gradient(); needs.reward_gradient && !without.empty())
      throw Error(place, entry.name + " needs the gradient of every reward that has a weight, and " +
                             join(without) + " has none; these need none: " + undemanding_methods());
    if (const auto without = rewards.without_noisy_latents(); needs.noisy_latents && !without.empty())
      throw Error(place, entry.name + " scores latents at a noise level, which " + join(without) +
                             " cannot; these score the clean estimate: dps, " + undemanding_methods());
  }
}

Steering make_steering(const std::vector<SteeringEntry>& entries, const SamplerSection& sampler,
                       StepWindow window, const RewardValue& reward, uint64_t seed) {
  Steering steering;
  steering.particles = particles_of(entries);
  std::vector<Guidance> guidances;
  for (const auto& entry : entries) {
    const auto& row = row_of(entry);
    if (row.guidance) guidances.push_back(row.guidance(entry, reward, seed));
    if (row.sample)
      steering.sample = [&row, entry, reward, kernel = kernel_of(sampler, window)](const SamplerInput& in) {
        return row.sample(entry, in, kernel, reward);
      };
  }
  steering.guidance = [guidances](Velocity velocity) {
    for (const auto& guidance : guidances) velocity = guidance(std::move(velocity));
    return velocity;
  };
  return steering;
}

}  // namespace thalweg
