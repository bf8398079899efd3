#include "engine/models/mixture/mixture.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

namespace thalweg {
namespace {

// Component k of x_t is N((1-t) m_k, V_k), V_k = (1-t)^2 s_k^2 + t^2. Everything has a last axis of K.
struct Components {
  at::Tensor t, s;       // [..., 1]
  at::Tensor data_var;   // s_k^2
  at::Tensor variance;   // V_k
  at::Tensor offset;     // x - (1-t) m_k
  at::Tensor log_joint;  // log w_k + log N(x; (1-t) m_k, V_k)
};

Components components(const MixtureLaw& law, const at::Tensor& x, const at::Tensor& sigma) {
  Components c;
  c.t = sigma.to(at::kDouble).unsqueeze(-1);
  c.s = 1.0 - c.t;
  c.data_var = law.stds.square();
  c.variance = c.s.square() * c.data_var + c.t.square();
  c.offset = x.to(at::kDouble).unsqueeze(-1) - c.s * law.means;
  c.log_joint = law.log_weights - 0.5 * std::log(2.0 * std::numbers::pi) - 0.5 * c.variance.log() -
                0.5 * c.offset.square() / c.variance;
  return c;
}

// sum_k gamma_k value_k
at::Tensor expected(const Components& c, const at::Tensor& value) {
  return (at::softmax(c.log_joint, -1) * value).sum(-1);
}

}  // namespace

MixtureLaw mixture_law(const Mixture& m) {
  return {at::tensor(m.weights, at::kDouble).log(), at::tensor(m.means, at::kDouble),
          at::tensor(m.stds, at::kDouble)};
}

MixturePosterior mixture_posterior(const MixtureLaw& law, const at::Tensor& x, const at::Tensor& sigma) {
  const auto c = components(law, x, sigma);
  return {at::log_softmax(c.log_joint, -1), law.means + c.s * c.data_var / c.variance * c.offset,
          (c.data_var * c.t.square() / c.variance).expand_as(c.offset)};
}

at::Tensor mixture_log_joint(const MixtureLaw& law, const at::Tensor& x, const at::Tensor& sigma) {
  return components(law, x, sigma).log_joint;
}

at::Tensor mixture_log_density(const MixtureLaw& law, const at::Tensor& x, const at::Tensor& sigma) {
  return at::logsumexp(mixture_log_joint(law, x, sigma), -1);
}

at::Tensor mixture_velocity(const MixtureLaw& law, const at::Tensor& x, const at::Tensor& sigma) {
  const auto c = components(law, x, sigma);
  return expected(c, (c.t - c.s * c.data_var) / c.variance * c.offset - law.means);
}

at::Tensor mixture_clean_mean(const MixtureLaw& law, const at::Tensor& x, const at::Tensor& sigma) {
  const auto c = components(law, x, sigma);
  return expected(c, law.means + c.s * c.data_var / c.variance * c.offset);
}

at::Tensor mixture_noise_mean(const MixtureLaw& law, const at::Tensor& x, const at::Tensor& sigma) {
  const auto c = components(law, x, sigma);
  return expected(c, c.t / c.variance * c.offset);
}

}  // namespace thalweg
