#include "samplers/particles/svdd.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/core/rng.h"
#include "samplers/particles/candidate_record.h"
#include "samplers/particles/outlook.h"
#include "samplers/particles/weights.h"
#include "samplers/tiled.h"
#include "samplers/transitions.h"

namespace thalweg {
namespace {

// Rows of one call: candidates of a small batch are looked at together, those of a large one after another.
constexpr int64_t kRows = 32;

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
    const int64_t at_once = o_.at_once > 0 ? o_.at_once : std::max<int64_t>(kRows / x.size(0), 1);
    Choice choice;
    for (int64_t begin = 0; begin < o_.candidates; begin += at_once)
      consider(choice, mean, step, begin, std::min(begin + at_once, o_.candidates));
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
    auto& conditioning = conditioning_[copies];
    if (conditioning.prompts.empty()) conditioning = tiled(in_.conditioning, copies);
    if (step.index + 1 == in_.schedule.steps())
      return {{}, {}, final_rewards(reward_, x, tiled(step, copies), conditioning), {}};
    const auto there = step_of(kernel_, in_.schedule, step.index + 1, in_.slot_B, x.device());
    return outlook_.value(in_.velocity, reward_, x, tiled(there, copies), conditioning);
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
  std::map<int64_t, Conditioning> conditioning_;  // several times over, by the number of copies
};

// Of the softmax over the candidates that are scored; M where none is.
at::Tensor candidate_ess(const at::Tensor& values_MB, double temperature) {
  const auto known = at::where(values_MB.isfinite(), values_MB, -INFINITY);
  const auto highest = known.amax(0, true);
  const auto log_weights = temperature > 0.0 ? known / temperature
                                             : at::zeros_like(known).masked_fill(known != highest, -INFINITY);
  return effective_sample_size(at::where(highest.isfinite(), log_weights, 0.0).t());
}

}  // namespace

Trajectory sample_svdd(const SamplerInput& in, const Kernel& kernel, const RewardValue& reward,
                       const SvddOptions& o) {
  const c10::NoGradGuard no_grad;
  TORCH_CHECK(o.candidates > 0, "there must be a candidate");
  Chooser chooser(in, kernel, reward, o);
  CandidateRecord record;
  auto x = in.x_BCFHW;
  at::Tensor v;  // at x, where a choice has left it
  for (int64_t i = 0; i < in.schedule.steps(); ++i) {
    const auto step = step_of(kernel, in.schedule, i, in.slot_B, x.device());
    if (!v.defined()) v = in.velocity(x, step, in.conditioning);
    const bool chooses =
        o.candidates > 1 && step.kernel.std > 0.0 && in_window(i, o.window_begin, o.window_size);
    if (!chooses) {
      x = next_latents(x, v, transition_noise(in, x, step), step.kernel);
      v.reset();
      record.add_own_step(x.size(0));
      continue;
    }
    const auto choice = chooser.choose(x, v, step);
    const auto values_MB = at::cat(choice.values);
    record.add_choice(candidate_ess(values_MB, o.temperature), 1.0 / static_cast<double>(o.candidates),
                      at::logical_not(values_MB.isfinite()).sum(0));
    x = choice.x_BCFHW;
    v = choice.v_BCFHW;
  }
  Trajectory trajectory;
  trajectory.schedule = in.schedule;
  trajectory.x0_BCFHW = x;
  trajectory.particles = record.finished();
  return trajectory;
}

}  // namespace thalweg
