// Particle methods at small settings, and what they are held against: a wavy reward, samples that are lost.
#pragma once

#include <functional>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "engine/models/sd3/sd3_schedule.h"
#include "samplers/particles/best_of_n.h"
#include "samplers/particles/das.h"
#include "samplers/particles/fk.h"
#include "samplers/particles/guided_smc.h"
#include "tests/samplers/analytic.h"
#include "tests/samplers/kernels.h"

namespace thalweg::particle_laws {

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
inline constexpr int64_t kSteps = 8;

// Particles of a group share a prompt.
inline SamplerInput groups_of(int64_t particles, const std::vector<int64_t>& groups,
                              at::ScalarType dtype = at::kDouble) {
  std::vector<int64_t> slots, prompts;
  for (const auto g : groups)
    for (int64_t p = 0; p < particles; ++p) {
      slots.push_back(g * particles + p);
      prompts.push_back(g);
    }
  auto input = sampler_input(sd3_schedule(kSteps, 3.0), dtype, slots);
  input.conditioning = analytic_conditioning(prompts);
  return input;
}

inline at::Tensor wavy(const at::Tensor& x, const Step&, const Conditioning&) {
  return at::sin(x * 1.3).flatten(1).mean(1).to(at::kCPU, at::kDouble) * 3.0;
}

// NaN where the samples' slots are among `lost`, from step `first` on.
inline RewardValue partly_lost(std::set<int64_t> lost, int64_t first = 0) {
  return [lost = std::move(lost), first](const at::Tensor& x, const Step& step, const Conditioning& c) {
    auto factor = at::ones({x.size(0)}, at::kDouble);
    for (size_t b = 0; b < step.slot_B.size(); ++b)
      if ((step.index >= first || step.index < 0) && lost.contains(step.slot_B[b]))
        factor[static_cast<int64_t>(b)] = kNan;
    return wavy(x, step, c) * factor;
  };
}

inline at::Tensor base_run(const SamplerInput& in, const Kernel& kernel) {
  return sample_transitions(in, kernel).x0_BCFHW;
}

inline at::Tensor base_run(SamplerInput in, const Kernel& kernel, const Velocity& guided) {
  in.velocity = guided;
  return base_run(in, kernel);
}

// Every method with N particles (SVDD: N candidates) and strength lambda.
using Method = std::function<Trajectory(const SamplerInput&, const Kernel&, const RewardValue&)>;
struct Named {
  std::string name;
  Method method;
};

inline ParticleOptions particles(int64_t n, const std::string& resampling = "ssp", double threshold = 1.0) {
  return {n, resampling, threshold, "draw"};
}

inline std::vector<Named> methods(int64_t n, double lambda) {
  std::vector<Named> all;
  for (const auto& potential : potential_names())
    for (const auto& value : {"clean_estimate", "noisy_latents"})
      all.push_back({"fk " + potential + " " + value, [=](const auto& in, const auto& k, const auto& r) {
                       return sample_fk(in, k, r, {particles(n), lambda, potential, value, 2, 1, 6});
                     }});
  for (const auto& resampling : resampling_names())
    all.push_back({"fk " + resampling, [=](const auto& in, const auto& k, const auto& r) {
                     FkOptions o{particles(n, resampling, 0.5), lambda};
                     o.interval = 1;
                     return sample_fk(in, k, r, o);
                   }});
  all.push_back({"das", [=](const auto& in, const auto& k, const auto& r) {
                   return sample_das(in, k, r, {particles(n), lambda});
                 }});
  all.push_back({"guided_smc", [=](const auto& in, const auto& k, const auto& r) {
                   return sample_guided_smc(in, k, r, {particles(n), lambda});
                 }});
  all.push_back({"best_of_n", [=](const auto& in, const auto& k, const auto& r) {
                   return sample_best_of_n(in, k, r, {n});
                 }});
  return all;
}

inline std::vector<NamedKernel> kernels() {
  auto all = noisy_kernels();
  all.push_back({"ode", ode()});
  return all;
}

}  // namespace thalweg::particle_laws
