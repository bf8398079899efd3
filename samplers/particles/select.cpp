#include "samplers/particles/select.h"

#include <ATen/ATen.h>

#include <numeric>

#include "engine/core/rng.h"
#include "samplers/particles/resample.h"
#include "samplers/particles/weights.h"

namespace thalweg {

std::vector<int64_t> draw_by_weight(const ParticleRecord& record, const SamplerInput& in) {
  const int64_t n = record.particles;
  const auto weights = relative_weights(record.log_weights_B.view({-1, n})).contiguous();
  // Steps before this number resampled.
  const auto step = static_cast<uint64_t>(in.schedule.steps());
  std::vector<int64_t> rows;
  for (int64_t g = 0; g < weights.size(0); ++g) {
    const auto* w = weights.const_data_ptr<double>() + g * n;
    const auto slot = static_cast<uint64_t>(in.slot_B.at(static_cast<size_t>(g * n)));
    const double u = random_uniform(in.seed, Purpose::resampling, slot, step);
    rows.push_back(g * n + draw_index({w, w + n}, u));
  }
  return rows;
}

std::vector<int64_t> best_by_reward(const ParticleRecord& record, const SamplerInput&) {
  const int64_t n = record.particles;
  TORCH_CHECK(record.rewards_B.defined(), "the particles have no rewards");
  const auto rewards = record.rewards_B.view({-1, n});
  const auto best = at::where(rewards.isfinite(), rewards, -INFINITY).argmax(1);
  std::vector<int64_t> rows;
  for (int64_t g = 0; g < best.size(0); ++g) rows.push_back(g * n + best[g].item<int64_t>());
  return rows;
}

std::vector<int64_t> all_particles(const ParticleRecord&, const SamplerInput& in) {
  std::vector<int64_t> rows(in.slot_B.size());
  std::iota(rows.begin(), rows.end(), int64_t{0});
  return rows;
}

Selection selection_named(const std::string& name) {
  if (name == "best") return best_by_reward;
  if (name == "all") return all_particles;
  TORCH_CHECK(name == "draw", "knows no selection \"", name, "\"");
  return draw_by_weight;
}

const std::vector<std::string>& selection_names() {
  static const std::vector<std::string> names = {"draw", "best", "all"};
  return names;
}

Trajectory selected(Trajectory trajectory, const SamplerInput& in, Selection selection) {
  const auto rows = selection(trajectory.particles.value(), in);
  if (static_cast<int64_t>(rows.size()) == trajectory.x0_BCFHW.size(0)) return trajectory;
  trajectory.x0_BCFHW =
      trajectory.x0_BCFHW.index_select(0, at::tensor(rows, at::kLong).to(trajectory.x0_BCFHW.device()));
  return trajectory;
}

}  // namespace thalweg
