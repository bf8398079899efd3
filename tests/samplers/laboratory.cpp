#include "tests/samplers/laboratory.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>
#include <numeric>

#include "engine/core/rng.h"
#include "samplers/flow_algebra.h"

namespace thalweg {
namespace {

double normal_cdf(double x) {
  return 0.5 * std::erfc(-x / std::numbers::sqrt2);
}

at::Tensor normal_density(const at::Tensor& z) {
  return at::exp(-0.5 * z.square()) / std::sqrt(2.0 * std::numbers::pi);
}

// x_0 from normalised log-weights, means and standard deviations [..., K].
at::Tensor drawn(const at::Tensor& log_weights, const at::Tensor& means, const at::Tensor& stds,
                 const at::Tensor& uniform, const at::Tensor& normal) {
  const auto below = log_weights.exp().cumsum(-1) < uniform.unsqueeze(-1);
  const auto component = below.sum(-1, /*keepdim=*/true).clamp_max(means.size(-1) - 1);
  const auto chosen = [&](const at::Tensor& values) {
    auto shape = component.sizes().vec();
    shape.back() = values.size(-1);
    return values.expand(shape).gather(-1, component).squeeze(-1);
  };
  return chosen(means) + chosen(stds) * normal;
}

double weighted_w1(const at::Tensor& sample, const at::Tensor& weights, const Mixture& m) {
  const auto [sorted, order] = sample.to(at::kDouble).flatten().sort();
  const auto share = weights.flatten().index_select(0, order);
  // Each point against the quantile in the middle of its share.
  const auto target = quantile_of(m, share.cumsum(0) - 0.5 * share);
  return (share * (sorted - target).abs()).sum().item<double>();
}

}  // namespace

Mixture reference_mixture() {
  return {{0.6, 0.4}, {-1.5, 1.0}, {0.5, 0.35}};
}

Mixture gaussian(double mean, double std) {
  return {{1.0}, {mean}, {std}};
}

double mean_of(const Mixture& m) {
  return std::inner_product(m.weights.begin(), m.weights.end(), m.means.begin(), 0.0);
}

double variance_of(const Mixture& m) {
  double second = 0.0;
  for (size_t k = 0; k < m.weights.size(); ++k)
    second += m.weights[k] * (m.stds[k] * m.stds[k] + m.means[k] * m.means[k]);
  return second - mean_of(m) * mean_of(m);
}

double probability_above(const Mixture& m, double threshold) {
  double p = 0.0;
  for (size_t k = 0; k < m.weights.size(); ++k)
    p += m.weights[k] * normal_cdf((m.means[k] - threshold) / m.stds[k]);
  return p;
}

Velocity velocity_of(const Mixture& m) {
  return [law = mixture_law(m)](const at::Tensor& x, const Step& step, const Conditioning&) {
    return mixture_velocity(law, x, step.sigma_B.view({-1, 1, 1, 1, 1})).to(x.scalar_type());
  };
}

at::Tensor score_of(const Mixture& m, const at::Tensor& x, const at::Tensor& sigma) {
  const auto law = mixture_law(m);
  const auto t = sigma.to(at::kDouble).unsqueeze(-1);
  const auto variance = (1.0 - t).square() * law.stds.square() + t.square();
  const auto pull = (x.to(at::kDouble).unsqueeze(-1) - (1.0 - t) * law.means) / variance;
  return -(at::softmax(mixture_log_joint(law, x, sigma), -1) * pull).sum(-1);
}

at::Tensor cdf_of(const Mixture& m, const at::Tensor& x) {
  const auto law = mixture_law(m);
  const auto z = (x.to(at::kDouble).unsqueeze(-1) - law.means) / law.stds;
  return (law.log_weights.exp() * 0.5 * at::erfc(z * -std::numbers::sqrt2 / 2.0)).sum(-1);
}

at::Tensor quantile_of(const Mixture& m, const at::Tensor& u) {
  auto low = at::full_like(u, mean_of(m)), high = low.clone();
  for (size_t k = 0; k < m.weights.size(); ++k) {
    low.clamp_max_(m.means[k] - 12.0 * m.stds[k]);
    high.clamp_min_(m.means[k] + 12.0 * m.stds[k]);
  }
  for (int i = 0; i < 45; ++i) {
    const auto middle = 0.5 * (low + high);
    const auto below = cdf_of(m, middle) < u;
    low = at::where(below, middle, low);
    high = at::where(below, high, middle);
  }
  return 0.5 * (low + high);
}

at::Tensor data_draw(const Mixture& m, const at::Tensor& uniform, const at::Tensor& normal) {
  const auto law = mixture_law(m);
  return drawn(law.log_weights, law.means, law.stds, uniform, normal);
}

at::Tensor posterior_draw(const Mixture& m, const at::Tensor& x, const at::Tensor& sigma,
                          const at::Tensor& uniform, const at::Tensor& normal) {
  const auto posterior = mixture_posterior(mixture_law(m), x, sigma);
  return drawn(posterior.log_weights, posterior.means, posterior.variances.sqrt(), uniform, normal);
}

LinearTilt linear_tilt(const Mixture& m, double c) {
  LinearTilt tilt{m, 0.0};
  double evidence = 0.0;
  for (size_t k = 0; k < m.weights.size(); ++k) {
    const double variance = m.stds[k] * m.stds[k];
    tilt.law.means[k] = m.means[k] + c * variance;
    tilt.law.weights[k] = m.weights[k] * std::exp(c * m.means[k] + 0.5 * c * c * variance);
    evidence += tilt.law.weights[k];
  }
  for (auto& weight : tilt.law.weights) weight /= evidence;
  tilt.log_evidence = std::log(evidence);
  return tilt;
}

at::Tensor linear_log_h(const Mixture& m, double c, const at::Tensor& x, const at::Tensor& sigma) {
  const auto posterior = mixture_posterior(mixture_law(m), x, sigma);
  return at::logsumexp(posterior.log_weights + c * posterior.means + 0.5 * c * c * posterior.variances, -1);
}

at::Tensor linear_log_h_gradient(const Mixture& m, double c, const at::Tensor& x, const at::Tensor& sigma) {
  // h_t(x) = Z q_t(x) / p_t(x), q the tilted law.
  return score_of(linear_tilt(m, c).law, x, sigma) - score_of(m, x, sigma);
}

namespace {

// P(x_0 > threshold | x_t, k) and how many standard deviations the mean lies above.
std::pair<at::Tensor, at::Tensor> above(const MixturePosterior& posterior, double threshold) {
  const auto ratio = (posterior.means - threshold) / posterior.variances.sqrt();
  const auto z = at::where(ratio.isnan(), -INFINITY, ratio);  // a clean sample on the threshold
  return {0.5 * at::erfc(z * -std::numbers::sqrt2 / 2.0), z};
}

}  // namespace

at::Tensor indicator_log_h(const Mixture& m, double lambda, const at::Tensor& x, const at::Tensor& sigma,
                           double threshold) {
  const auto posterior = mixture_posterior(mixture_law(m), x, sigma);
  const auto p = (posterior.log_weights.exp() * above(posterior, threshold).first).sum(-1);
  return at::log1p(std::expm1(lambda) * p);
}

at::Tensor indicator_log_h_gradient(const Mixture& m, double lambda, const at::Tensor& x,
                                    const at::Tensor& sigma, double threshold) {
  const auto law = mixture_law(m);
  const auto posterior = mixture_posterior(law, x, sigma);
  const auto [p_K, z] = above(posterior, threshold);
  const auto gamma = posterior.log_weights.exp();
  const auto t = sigma.to(at::kDouble).unsqueeze(-1);
  const auto variance = (1.0 - t).square() * law.stds.square() + t.square();
  // Of log gamma_k and of the standard score.
  const auto of_gamma = -(x.to(at::kDouble).unsqueeze(-1) - (1.0 - t) * law.means) / variance -
                        score_of(m, x, sigma).unsqueeze(-1);
  const auto of_z = (1.0 - t) * law.stds.square() / variance / posterior.variances.sqrt();
  const auto of_p =
      (gamma * (of_gamma * p_K + at::where(z.isfinite(), normal_density(z) * of_z, 0.0))).sum(-1);
  const double rise = std::expm1(lambda);
  return rise * of_p / (1.0 + rise * (gamma * p_K).sum(-1));
}

double indicator_probability(const Mixture& m, double lambda, double threshold) {
  const double p = probability_above(m, threshold);
  return std::exp(lambda) * p / (1.0 + std::expm1(lambda) * p);
}

double indicator_log_evidence(const Mixture& m, double lambda, double threshold) {
  return std::log1p(std::expm1(lambda) * probability_above(m, threshold));
}

RewardValue linear_reward(double c) {
  return [c](const at::Tensor& x, const Step&, const Conditioning&) {
    return c * x.to(at::kCPU, at::kDouble).flatten(1).mean(1);
  };
}

RewardValue indicator_reward(double threshold) {
  return [threshold](const at::Tensor& x, const Step&, const Conditioning&) {
    return (x.to(at::kCPU, at::kDouble).flatten(1).mean(1) > threshold).to(at::kDouble);
  };
}

RewardValue linear_soft_value(const Mixture& m, double c) {
  return [m, c](const at::Tensor& x, const Step& step, const Conditioning&) {
    const double per_element = c / static_cast<double>(x[0].numel());
    return linear_log_h(m, per_element, x, step.sigma_B.view({-1, 1, 1, 1, 1})).flatten(1).sum(1);
  };
}

double w1(const at::Tensor& sample, const Mixture& m) {
  return weighted_w1(sample,
                     at::full({sample.numel()}, 1.0 / static_cast<double>(sample.numel()), at::kDouble), m);
}

double w1(const at::Tensor& sample, const at::Tensor& log_weights, const Mixture& m) {
  return weighted_w1(sample, at::softmax(log_weights.to(at::kDouble).flatten(), 0), m);
}

Schedule uniform_schedule(int64_t steps) {
  Schedule schedule;
  for (int64_t i = 0; i <= steps; ++i)
    schedule.sigmas.push_back(static_cast<double>(steps - i) / static_cast<double>(steps));
  return schedule;
}

SamplerInput laboratory_input(const Mixture& m, const Schedule& schedule, int64_t count, uint64_t seed,
                              const std::vector<int64_t>& shape) {
  std::vector<int64_t> slots(static_cast<size_t>(count));
  std::iota(slots.begin(), slots.end(), int64_t{0});
  const auto noise = normal_noise(seed, Purpose::initial_noise, slots, 0, shape, at::kDouble);
  Conditioning conditioning{std::vector<std::string>(static_cast<size_t>(count)), {}};
  return {velocity_of(m), schedule, std::move(conditioning), noise, slots, seed};
}

}  // namespace thalweg
