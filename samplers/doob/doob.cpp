#include "samplers/doob/doob.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <utility>

#include "engine/core/names.h"
#include "engine/core/rng.h"
#include "samplers/candidates/candidates.h"
#include "samplers/candidates/record.h"
#include "samplers/doob/best_estimate.h"
#include "samplers/doob/lookahead.h"
#include "samplers/doob/weights.h"
#include "samplers/flow_algebra.h"
#include "samplers/transitions.h"
#include "samplers/window.h"

namespace thalweg {
namespace {

class DoobSampler {
 public:
  using Form = at::Tensor (DoobSampler::*)(const at::Tensor& x, const Step& step);

  DoobSampler(const SamplerInput& in, const Kernel& kernel, const RewardValue& reward, const DoobOptions& o,
              const GuidanceSink& led);

  at::Tensor next(const at::Tensor& x, int64_t index) {
    const auto step = step_of(context_.kernel, in_.schedule, index, in_.slot_B, x.device());
    if (!steers(step)) {
      record_.add_own_step(x.size(0));
      return own_step(x, velocity_at(x, step), step);
    }
    return index >= greedy_begin_ ? greedy(x, step) : (this->*form_)(x, step);
  }

  Trajectory finished(const at::Tensor& x);

  at::Tensor pick(const at::Tensor& x, const Step& step);
  at::Tensor drift(const at::Tensor& x, const Step& step);
  at::Tensor vjp(const at::Tensor& x, const Step& step);

 private:
  bool steers(const Step& step) const;
  CandidateSource::Estimates estimates() {
    if (!o_.keep_best) return {};
    return [this](const at::Tensor& x0, const at::Tensor& reward_kB) { best_.offer_all(x0, reward_kB); };
  }
  /// At the sampler's own x; what the look ahead already knows is not asked for again.
  at::Tensor velocity_at(const at::Tensor& x, const Step& step);
  at::Tensor own_step(const at::Tensor& x, const at::Tensor& v, const Step& step) const {
    return next_latents(x, v, transition_noise(in_, x, step), step.kernel);
  }
  at::Tensor greedy(const at::Tensor& x, const Step& step);
  struct Scored {
    Candidates candidates;
    CandidateWeights weights;
  };
  Scored scored(const at::Tensor& x, const at::Tensor& v, const Step& step, double survivors);
  at::Tensor go_on_with(const at::Tensor& index_B, const Scored& scored, const Step& step);

  const SamplerInput& in_;
  const DoobOptions& o_;
  const GuidanceSink& told_;
  DoobContext context_;
  BestEstimate best_;  // of all candidates, with keep_best
  CandidateSource source_;
  DoobLook look_;
  Form form_;
  int64_t greedy_begin_;
  at::Tensor v_;  // at the current x, where the look ahead has left it
  CandidateRecord record_;
};

struct FormRow {
  const char* name;
  DoobSampler::Form form;
};
constexpr FormRow kForms[] = {
    {"pick", &DoobSampler::pick}, {"drift", &DoobSampler::drift}, {"vjp", &DoobSampler::vjp}};

DoobSampler::Form form_named(const std::string& name) {
  for (const auto& [form, function] : kForms)
    if (name == form) return function;
  TORCH_CHECK(false, "knows no form \"", name, "\"");
}

DoobSampler::DoobSampler(const SamplerInput& in, const Kernel& kernel, const RewardValue& reward,
                         const DoobOptions& o, const GuidanceSink& led)
    : in_(in),
      o_(o),
      told_(led),
      context_{in, kernel, reward, o},
      source_(in, kernel, reward, {.count = o.candidates, .mirrored = o.antithetic}, estimates()),
      look_(doob_look(o.lookahead)),
      form_(form_named(o.form)),
      greedy_begin_((o.window_size == 0 ? in.schedule.steps() : o.window_begin + o.window_size) -
                    o.greedy_tail) {}

bool DoobSampler::steers(const Step& step) const {
  const bool noisy = o_.form == "vjp" && in_.schedule.sigmas.at(static_cast<size_t>(step.index)) >= 1.0;
  return o_.candidates > 1 && o_.gamma != 0.0 && step.kernel.std > 0.0 &&
         StepWindow::of(o_.window_begin, o_.window_size).contains(step.index) && !noisy;
}

at::Tensor DoobSampler::velocity_at(const at::Tensor& x, const Step& step) {
  return v_.defined() ? std::exchange(v_, {}) : in_.velocity(x, step, in_.conditioning);
}

// Candidates around the step's mean, and their weights.
DoobSampler::Scored DoobSampler::scored(const at::Tensor& x, const at::Tensor& v, const Step& step,
                                        double survivors) {
  const bool last = step.index + 1 == in_.schedule.steps();  // nothing is looked ahead from there
  auto candidates = source_.draw(transition(x, v, step.kernel).mean_BCFHW, step,
                                 last ? CandidateLook{} : look_(context_, x, v, step));
  auto weights = candidate_weights(candidates.reward_BM, o_.temperature, o_.normalize);
  record_.add_choice(weights.ess_B, survivors, at::logical_not(weights.scored_BM).sum(1));
  return {std::move(candidates), std::move(weights)};
}

at::Tensor DoobSampler::go_on_with(const at::Tensor& index_B, const Scored& s, const Step& step) {
  const auto next = picked(s.candidates, index_B);
  const auto any_B = s.weights.scored_BM.any(1);
  if (any_B.all().item<bool>()) {
    v_ = next.v_BCFHW;
    return next.x_BCFHW;
  }
  const auto own =
      at::add(s.candidates.mean_BCFHW, transition_noise(in_, next.x_BCFHW, step), step.kernel.std);
  return at::where(any_B.to(own.device()).view({-1, 1, 1, 1, 1}), next.x_BCFHW, own);
}

at::Tensor DoobSampler::pick(const at::Tensor& x, const Step& step) {
  const auto s = scored(x, velocity_at(x, step), step, 1.0 / static_cast<double>(o_.candidates));
  std::vector<double> uniform;
  for (const auto slot : in_.slot_B)
    uniform.push_back(random_uniform(in_.seed, Purpose::resampling, static_cast<uint64_t>(slot),
                                     static_cast<uint64_t>(step.index)));
  const auto below = s.weights.weights_BM.cumsum(1);
  // Over the last sum, which rounding may leave short of 1: never past the last candidate with a weight.
  const auto passed = below / below.slice(1, -1) <= at::tensor(uniform, at::kDouble).unsqueeze(1);
  return go_on_with(passed.sum(1), s, step);
}

at::Tensor DoobSampler::greedy(const at::Tensor& x, const Step& step) {
  const auto s = scored(x, velocity_at(x, step), step, 1.0 / static_cast<double>(o_.candidates));
  return go_on_with(best_candidate(s.candidates.reward_BM), s, step);
}

// sum_m c_m z_m.
at::Tensor noise_sum(const Candidates& all, const at::Tensor& coefficients_BM) {
  const int64_t draws = all.noise.size(0);
  auto of_draw_DB = coefficients_BM.t().slice(0, 0, draws);
  if (draws < coefficients_BM.size(1)) of_draw_DB = of_draw_DB - coefficients_BM.t().slice(0, draws);
  of_draw_DB = of_draw_DB.to(all.noise.device());
  auto sum = at::zeros_like(all.noise[0]);
  for (int64_t m = 0; m < draws; ++m) sum.addcmul_(all.noise[m], per_sample(of_draw_DB[m], sum));
  return sum;
}

// n/(n-1) sum_m (w_m - 1/n) z_m over the n candidates that are scored: the covariance of weight and noise,
// unbiased to first order. The mean of mirror images is no estimate, so it costs no degree of freedom.
at::Tensor pull(const Candidates& candidates, const CandidateWeights& weights, const DoobOptions& o) {
  const auto count_B = weights.scored_BM.sum(1, true, at::kDouble).clamp_min(1.0);
  auto centred = at::where(weights.scored_BM, weights.weights_BM - 1.0 / count_B, 0.0);
  if (o.gate) {
    const auto known = at::where(weights.scored_BM, candidates.reward_BM, 0.0);
    centred = at::where(known.sum(1, true) / count_B >= o.gate_threshold, centred, 0.0);
  }
  if (!o.antithetic) centred = centred * (count_B / (count_B - 1.0).clamp_min(1.0));
  return noise_sum(candidates, centred);
}

// g, whose root mean square over a latent's elements is at most `limit`.
at::Tensor clipped(const at::Tensor& g, double limit) {
  const auto rms_B = g.flatten(1).square().mean(1).sqrt();
  return g * per_sample((limit / rms_B).clamp_max(1.0), g);
}

at::Tensor DoobSampler::drift(const at::Tensor& x, const Step& step) {
  const auto s = scored(x, velocity_at(x, step), step, 1.0);
  const auto noise = at::add(transition_noise(in_, x, step), pull(s.candidates, s.weights, o_), o_.gamma);
  return at::add(s.candidates.mean_BCFHW, noise, step.kernel.std);
}

at::Tensor DoobSampler::vjp(const at::Tensor& x, const Step& step) {
  const auto leaf = x.detach().requires_grad_();
  at::Tensor v_graph;
  {
    const c10::AutoGradMode on(true);
    v_graph = in_.velocity(leaf, step, in_.conditioning);
  }
  const auto v = v_graph.detach();
  const auto s = scored(x, v, step, 1.0);
  const auto u = pull(s.candidates, s.weights, o_) / step.kernel.std;
  auto g = mean_vjp(v_graph, leaf, u, step.kernel);
  if (o_.clip > 0.0) g = clipped(g, o_.clip);
  const auto led = guided(v, g * o_.gamma, step);
  if (told_) {
    const auto pulls_B =
        at::logical_and(s.weights.scored_BM.any(1).to(g.device()), g.isfinite().flatten(1).all(1));
    told_(x, step, v, at::where(pulls_B.view({-1, 1, 1, 1, 1}), led, NAN));
  }
  return own_step(x, led, step);
}

Trajectory DoobSampler::finished(const at::Tensor& x) {
  Trajectory trajectory;
  trajectory.schedule = in_.schedule;
  trajectory.x0_BCFHW = x;
  if (auto& best = best_; best.x0_BCFHW.defined()) {
    const auto end = finished_step(step_at(in_.schedule, in_.schedule.steps() - 1, in_.slot_B, x.device()));
    const auto reward_B = context_.reward(x, end, in_.conditioning);
    best.offer(x, at::where(reward_B.isfinite(), reward_B, -INFINITY));
    // Of samples without any score the final one stays.
    const auto known_B = best.reward_B.isfinite().to(x.device());
    trajectory.x0_BCFHW = at::where(known_B.view({-1, 1, 1, 1, 1}), best.x0_BCFHW, x);
  }
  trajectory.particles = record_.finished();
  return trajectory;
}

void check(const DoobOptions& o) {
  TORCH_CHECK(o.candidates > 0, "there must be a candidate");
  TORCH_CHECK(!o.antithetic || o.candidates == 1 || o.candidates % 2 == 0, "mirror images come in pairs");
  TORCH_CHECK(o.temperature > 0.0, "the temperature must be positive");
  TORCH_CHECK(o.rollout_steps > 0, "a rollout has steps");
  TORCH_CHECK(!o.keep_best || o.lookahead != "noisy_latents", "only clean estimates can be kept");
}

}  // namespace

const std::vector<std::string>& doob_forms() {
  static const auto names = names_of(kForms);
  return names;
}

Trajectory sample_doob(const SamplerInput& in, const Kernel& kernel, const RewardValue& reward,
                       const DoobOptions& o, const GuidanceSink& led) {
  check(o);
  const c10::NoGradGuard no_grad;
  DoobSampler sampler(in, kernel, reward, o, led);
  auto x = in.x_BCFHW;
  for (int64_t i = 0; i < in.schedule.steps(); ++i) x = sampler.next(x, i);
  return sampler.finished(x);
}

}  // namespace thalweg
