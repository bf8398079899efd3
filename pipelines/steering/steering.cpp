#include "pipelines/steering/steering.h"

#include <utility>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "samplers/schedules/linear.h"

namespace thalweg {
namespace {

// Methods that, with their defaults, do without what `asks` says.
std::string methods_without(bool (*asks)(const SteeringNeeds&)) {
  std::vector<std::string> names;
  for (const auto& row : steering_table())
    if (!asks(row.make()->needs())) names.emplace_back(row.name);
  return join(names);
}

// Samplers whose one-step transitions draw no noise at any setting.
bool is_deterministic(const SamplerKind& kind) {
  return kind.kernel() && !kind.log_prob();
}

std::string deterministic_samplers() {
  std::vector<std::string> names;
  for (const auto& row : sampler_table())
    if (is_deterministic(*row.make())) names.emplace_back(row.name);
  return join(names, " or ");
}

void check_sampler_of(const Chosen<SteeringMethod>& method, const SamplerSection& sampler) {
  const auto needs = method->needs();
  const auto known = "; use " + join(sde_samplers(), " or ");
  if (method->samples() && sampler.tail_ratio < 1.0)
    throw Error("/sampler/tail_ratio", method.name() + " takes every step of the schedule; leave it at 1");
  if (needs.deterministic && !is_deterministic(*sampler.kind))
    throw Error("/sampler/name", method.name() +
                                     " goes back from the picture to the initial noise, through one-step "
                                     "transitions that draw no noise of their own, which those of " +
                                     sampler.kind.name() + " are not; use " + deterministic_samplers());
  if (needs.kernel && !sampler.kind->kernel())
    throw Error("/sampler/name", method.name() +
                                     " needs a sampler that goes step by step with a kernel, not " +
                                     sampler.kind.name() + known);
  if (needs.marginals && !sampler.kind->keeps_marginals())
    throw Error("/sampler/name", method.name() + " needs a sampler that keeps the marginals, which " +
                                     sampler.kind.name() + " does not: its weights would be wrong" + known);
  if (needs.noise && !sampler.kind->log_prob())
    throw Error("/sampler/name", method.name() + " needs a sampler that draws noise, not " +
                                     sampler.kind.name() + ": copies of a sample would stay the same" +
                                     known);
  if (needs.noise && !draws_noise(sampler))
    throw Error("/sampler/noise_level", "must be above 0, and more than rounding: " + method.name() +
                                            " needs a sampler that draws noise, else copies of a sample "
                                            "would stay the same");
}

// Which steps draw noise is a matter of their index.
bool draws_noise_in(const StepWindow& steps, const SamplerSection& sampler) {
  if (sampler.window_policy == "random") return true;  // wherever the seed puts it
  const auto kernel = kernel_of(sampler, step_window(sampler, 0, 0));
  const auto schedule = linear_schedule(sampler.steps);
  for (int64_t i = 0; i < sampler.steps; ++i)
    if (steps.contains(i) && kernel(schedule, i).std > 0.0) return true;
  return false;
}

void check_steps_of(const SteeringEntry& entry, const SamplerSection& sampler) {
  const auto needs = entry.method->needs();
  if (needs.noise && !draws_noise_in(needs.noise_in, sampler))
    throw Error(entry.pointer,
                entry.method.name() +
                    " has nothing to choose from: the sampler draws noise in none of the steps "
                    "in which it acts; move its window or /sampler/window, or take more steps (" +
                    sampler.kind.name() + " may draw none in the last one)");
}

// What the entry's keys say, all defaults written out.
Json keys_of(SteeringEntry entry) {
  return write_fields([&](Fields& f) { describe(f, entry); });
}

void require_no_repetition(const std::vector<SteeringEntry>& entries, size_t index) {
  for (size_t before = 0; before < index; ++before)
    if (keys_of(entries[before]) == keys_of(entries[index]))
      throw Error(entries[index].pointer,
                  "says the same as " + entries[before].pointer +
                      ": the samples would be led there twice; keep one, and raise its "
                      "strength instead");
}

}  // namespace

void describe(Fields& f, SteeringEntry& entry) {
  entry.pointer = f.pointer();
  entry.choice = entry.pointer + "/name";
  entry.method.describe(f, {"name", "method", true}, steering_table());
}

int64_t particles_of(const std::vector<SteeringEntry>& entries) {
  for (const auto& entry : entries)
    if (entry.method->samples()) return entry.method->particles();
  return 1;
}

void check_steering(const std::vector<SteeringEntry>& entries, const SamplerSection& sampler,
                    const std::vector<RewardSpec>& rewards) {
  const SteeringEntry* sampled = nullptr;
  for (size_t i = 0; i < entries.size(); ++i) {
    const auto& entry = entries[i];
    const auto& method = entry.method;
    method->check(sampler.steps, entry.pointer);
    if (rewards.empty())
      throw Error("/rewards", "is empty: " + method.name() + " steers by the job's rewards");
    if (serving(rewards, followed_by(entry)).empty())
      throw Error("/rewards", "holds none that " + method.name() + " follows: one of \"use\": \"" +
                                  name_of(followed_by(entry)) + "\" or \"train\", with a weight");
    if (method->samples() && sampled)
      throw Error(entry.choice,
                  sampled->method.name() + " and " + method.name() + " are both ways of sampling: keep one");
    if (method->samples()) sampled = &entry;
    check_sampler_of(method, sampler);
    check_steps_of(entry, sampler);
    require_no_repetition(entries, i);
  }
}

RewardUse followed_by(const SteeringEntry& entry) {
  return entry.method->needs().noisy_latents ? RewardUse::process : RewardUse::guide;
}

std::vector<RewardUse> followed_by(const std::vector<SteeringEntry>& entries) {
  std::vector<RewardUse> uses;
  for (const auto& entry : entries) uses.push_back(followed_by(entry));
  return uses;
}

void require_abilities(const std::vector<SteeringEntry>& entries, const RewardSet& rewards) {
  for (const auto& entry : entries) {
    const auto needs = entry.method->needs();
    const auto &place = entry.choice, name = entry.method.name();
    const auto infos = rewards.infos(followed_by(entry));
    const auto lacking = [&](auto&& lacks) {
      std::vector<std::string> names;
      for (const auto& info : infos)
        if (lacks(info)) names.push_back(info.name);
      return names;
    };
    const auto without = lacking([](const auto& info) { return info.gradient_of == GradientOf::none; });
    if (needs.reward_gradient && !without.empty())
      throw Error(place, name + " needs the gradient of every reward that it follows, and " + join(without) +
                             " has none; these need none: " + methods_without([](const SteeringNeeds& n) {
                               return n.reward_gradient || n.noisy_latents;
                             }));
    // One that takes latents where they are given cannot be told from one that needs clean frames.
    const auto of_frames = lacking([](const auto& info) { return !info.required.latents; });
    if (needs.noisy_latents && !of_frames.empty())
      throw Error(place, name + " scores latents at a noise level, which " + join(of_frames) +
                             " cannot; these score the clean estimate: " +
                             methods_without([](const SteeringNeeds& n) { return n.noisy_latents; }));
  }
}

Steering make_steering(const std::vector<SteeringEntry>& entries, const SamplerSection& sampler,
                       StepWindow window, const Schedule& schedule,
                       const std::function<RewardValue(RewardUse)>& reward_for, uint64_t seed,
                       const GuidanceSink& led) {
  const auto taken = taken_schedule(sampler, window, schedule);
  Steering steering;
  steering.particles = particles_of(entries);
  std::vector<Guidance> guidances;
  for (const auto& entry : entries) {
    const auto& method = entry.method;
    const auto reward = reward_for(followed_by(entry));
    guidances.push_back(method->guidance(reward, taken, seed));
    if (method->samples())
      steering.sample = [method, reward, kernel = kernel_of(sampler, window), led](const SamplerInput& in) {
        return method->sample_told(in, kernel, reward, led);
      };
  }
  steering.guidance = [guidances](Velocity velocity) {
    for (const auto& guidance : guidances) velocity = guidance(std::move(velocity));
    return velocity;
  };
  return steering;
}

}  // namespace thalweg
