#include "samplers/particles/svdd.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/core/rng.h"
#include "samplers/particles/outlook.h"
#include "samplers/particles/step.h"
#include "samplers/particles/weights.h"

namespace thalweg {
namespace {

// The batch as it is asked about `copies` candidates of each sample: candidate after candidate.
struct Tiled {
  std::vector<int64_t> slot_B;
  Conditioning conditioning;
};

Tiled tiled(const SamplerInput& in, int64_t copies) {
  if (copies == 1) return {in.slot_B, in.conditioning};
  std::vector<int64_t> slots, rows;
  for (int64_t m = 0; m < copies; ++m)
    for (size_t b = 0; b < in.slot_B.size(); ++b) {
      slots.push_back(in.slot_B[b]);
      rows.push_back(static_cast<int64_t>(b));
    }
  return {std::move(slots), in.conditioning.select(rows)};
}

// The candidates that lead, and what is known of all.
struct Choice {
  at::Tensor x_BCFHW, v_BCFHW;  // v undefined where the values needed no velocity
  at::Tensor key_B;             // value / alpha + Gumbel noise: the highest is a draw from the softmax
  std::vector<at::Tensor> values;
};

class Chooser {
 public:
  Chooser(const SamplerInput& in, const Kernel& kernel, const RewardValue& reward, const SvddOptions& o)
      : in_(in), kernel_(kernel), reward_(reward), o_(o), outlook_(outlook_named(o.value)) {}

  Choice choose(const at::Tensor& x, const at::Tensor& v, const Step& step) {
    const auto mean = transition(x, v, step.kernel).mean_BCFHW;
    Choice choice;
    for (int64_t begin = 0; begin < o_.candidates; begin += o_.at_once)
      consider(choice, mean, step, begin, std::min(begin + o_.at_once, o_.candidates));
    return choice;
  }

 private:
  void consider(Choice& choice, const at::Tensor& mean, const Step& step, int64_t begin, int64_t end) {
    const int64_t copies = end - begin, batch = mean.size(0);
    const auto children = at::add(mean.unsqueeze(0), noise_of(mean, step, begin, end), step.kernel.std);
    const auto x = children.flatten(0, 1);
    const auto seen = look(x, step, copies);
    const auto values_MB = seen.value_B.view({copies, batch});
    choice.values.push_back(values_MB);
    const auto keys_MB = keys(values_MB, step, begin);
    const auto best_B = keys_MB.argmax(0);
    const auto rows = (best_B * batch + at::arange(batch, at::kLong)).to(x.device());
    const auto key_B = keys_MB.gather(0, best_B.unsqueeze(0)).squeeze(0);
    const auto best_x = x.index_select(0, rows);
    const auto best_v = seen.v_BCFHW.defined() ? seen.v_BCFHW.index_select(0, rows) : at::Tensor();
    if (begin == 0) {
      choice.x_BCFHW = best_x;
      choice.v_BCFHW = best_v;
      choice.key_B = key_B;
      return;
    }
    const auto better = (key_B > choice.key_B).to(x.device()).view({-1, 1, 1, 1, 1});
    choice.x_BCFHW = at::where(better, best_x, choice.x_BCFHW);
    if (best_v.defined()) choice.v_BCFHW = at::where(better, best_v, choice.v_BCFHW);
    choice.key_B = at::maximum(key_B, choice.key_B);
  }

  // [end - begin, B, ...]; candidate 0 draws what the sampler itself would.
  at::Tensor noise_of(const at::Tensor& mean, const Step& step, int64_t begin, int64_t end) const {
    std::vector<at::Tensor> noises;
    if (begin == 0) noises.push_back(transition_noise(in_, mean, step));
    std::vector<int64_t> slots;
    for (int64_t m = std::max<int64_t>(begin, 1); m < end; ++m)
      for (const auto slot : in_.slot_B) slots.push_back(slot * o_.candidates + m);
    if (!slots.empty())
      noises.push_back(normal_noise(in_.seed, Purpose::candidates, slots, static_cast<uint64_t>(step.index),
                                    mean.sizes().slice(1), mean.scalar_type(), mean.device()));
    const auto all = noises.size() == 1 ? noises[0] : at::cat(noises);
    return all.unflatten(0, {end - begin, mean.size(0)});
  }

  Lookahead look(const at::Tensor& x, const Step& step, int64_t copies) {
    auto& tile = tiles_[copies];
    if (tile.slot_B.empty()) tile = tiled(in_, copies);
    const auto& [slots, conditioning] = tile;
    const bool last = step.index + 1 == in_.schedule.steps();
    const auto there = step_of(kernel_, in_.schedule, last ? step.index : step.index + 1, slots, x.device());
    if (last) return {{}, {}, final_rewards(reward_, x, there, conditioning), {}};
    return outlook_.value(in_.velocity, reward_, x, there, conditioning);
  }

  at::Tensor keys(const at::Tensor& values_MB, const Step& step, int64_t begin) const {
    const auto known = at::where(values_MB.isfinite(), values_MB, -INFINITY);
    if (o_.temperature == 0.0) return known;
    auto gumbel_MB = at::empty_like(known);
    auto* gumbel = gumbel_MB.mutable_data_ptr<double>();
    for (int64_t m = begin; m < begin + values_MB.size(0); ++m)
      for (const auto slot : in_.slot_B) {
        const double u =
            random_uniform(in_.seed, Purpose::resampling, static_cast<uint64_t>(slot * o_.candidates + m),
                           static_cast<uint64_t>(step.index));
        *gumbel++ = -std::log(-std::log(u));
      }
    return known / o_.temperature + gumbel_MB;
  }

  const SamplerInput& in_;
  const Kernel& kernel_;
  const RewardValue& reward_;
  const SvddOptions& o_;
  Outlook outlook_;
  std::map<int64_t, Tiled> tiles_;
};

// Effective sample size, survivors and unscored candidates, step by step.
class CandidateRecord {
 public:
  explicit CandidateRecord(const SvddOptions& o) : o_(o) {}

  void add_choice(const at::Tensor& values_MB) {
    const auto scored = values_MB.isfinite();
    const auto known = at::where(scored, values_MB, -INFINITY);
    auto log_weights = o_.temperature > 0.0
                           ? known / o_.temperature
                           : at::zeros_like(known).masked_fill(known != known.amax(0, true), -INFINITY);
    log_weights = at::where(scored.any(0, true), log_weights, 0.0);
    ess_.push_back(effective_sample_size(log_weights.t()));
    survivors_.push_back(at::full_like(ess_.back(), 1.0 / static_cast<double>(o_.candidates)));
    unscored_.push_back(at::logical_not(scored).sum(0));
  }

  void add_step_without_choice(int64_t batch) {
    ess_.push_back(at::ones({batch}, at::kDouble));
    survivors_.push_back(ess_.back());
    unscored_.push_back(at::zeros({batch}, at::kLong));
  }

  ParticleRecord finished(int64_t batch) const {
    ParticleRecord record;
    record.log_weights_B = at::zeros({batch}, at::kDouble);
    record.ancestors_B = at::zeros({batch}, at::kLong);
    record.ess_TG = at::stack(ess_);
    record.survivors_TG = at::stack(survivors_);
    record.unscored_TG = at::stack(unscored_);
    return record;
  }

 private:
  const SvddOptions& o_;
  std::vector<at::Tensor> ess_, survivors_, unscored_;
};

}  // namespace

Trajectory sample_svdd(const SamplerInput& in, const Kernel& kernel, const RewardValue& reward,
                       const SvddOptions& o) {
  const c10::NoGradGuard no_grad;
  TORCH_CHECK(o.candidates > 0 && o.at_once > 0, "there must be a candidate");
  const int64_t end = o.window_size == 0 ? in.schedule.steps() : o.window_begin + o.window_size;
  Chooser chooser(in, kernel, reward, o);
  CandidateRecord record(o);
  auto x = in.x_BCFHW;
  at::Tensor v;  // at x, where a choice has left it
  for (int64_t i = 0; i < in.schedule.steps(); ++i) {
    const auto step = step_of(kernel, in.schedule, i, in.slot_B, x.device());
    if (!v.defined()) v = in.velocity(x, step, in.conditioning);
    const bool chooses = o.candidates > 1 && step.kernel.std > 0.0 && i >= o.window_begin && i < end;
    if (!chooses) {
      x = next_latents(x, v, transition_noise(in, x, step), step.kernel);
      v.reset();
      record.add_step_without_choice(x.size(0));
      continue;
    }
    const auto choice = chooser.choose(x, v, step);
    record.add_choice(at::cat(choice.values));
    x = choice.x_BCFHW;
    v = choice.v_BCFHW;
  }
  Trajectory trajectory;
  trajectory.schedule = in.schedule;
  trajectory.x0_BCFHW = x;
  trajectory.particles = record.finished(x.size(0));
  return trajectory;
}

}  // namespace thalweg
