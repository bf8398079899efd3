#include "pipelines/learners/objective.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "engine/losses/bradley_terry.h"
#include "engine/losses/soft_value.h"

namespace thalweg {
namespace {

class SoftValue final : public Cloneable<SoftValue, ProcessObjective> {
 public:
  void describe(Fields& f) override {
    f.number(
        {"temperature",
         "tau of tau log E[e^(r/tau) | x_t]: 1/lambda, or the temperature, of the steering that follows it"},
        tau_, 1e-6, 1e6);
  }
  RewardUnits units(const at::Tensor& reward_N) const override {
    const double log_mean =
        at::logsumexp(reward_N / tau_, 0).item<double>() - std::log(static_cast<double>(reward_N.numel()));
    return {tau_ * log_mean, tau_};
  }
  at::Tensor loss(const at::Tensor& a_B, const at::Tensor& u_B, const at::Tensor& used_B) const override {
    return soft_value_loss(a_B, u_B) * used_B;
  }

 private:
  double tau_ = 0.1;
};

class Regression final : public Cloneable<Regression, ProcessObjective> {
 public:
  RewardUnits units(const at::Tensor& reward_N) const override {
    return {reward_N.mean().item<double>(), std::max(reward_N.std(/*unbiased=*/false).item<double>(), 1e-6)};
  }
  at::Tensor loss(const at::Tensor& a_B, const at::Tensor& u_B, const at::Tensor& used_B) const override {
    return (u_B - a_B).square() * used_B;
  }
};

class BradleyTerry final : public Cloneable<BradleyTerry, ProcessObjective> {
 public:
  RewardUnits units(const at::Tensor&) const override { return {}; }
  at::Tensor loss(const at::Tensor& a_B, const at::Tensor& u_B, const at::Tensor& used_B) const override {
    const auto a = a_B.view({-1, 2}), u = u_B.view({-1, 2});
    const auto of_pair = bradley_terry_loss(a.select(1, 0), a.select(1, 1), u.select(1, 0), u.select(1, 1)) *
                         used_B.view({-1, 2}).prod(1);
    return of_pair.unsqueeze(1).expand({-1, 2}).reshape({-1});
  }
};

template <typename Kind>
std::unique_ptr<ProcessObjective> make() {
  return std::make_unique<Kind>();
}

}  // namespace

const Chosen<ProcessObjective>::Table& objective_table() {
  static const Chosen<ProcessObjective>::Table table = {
      {"soft_value", "tau log E[e^(r/tau) | x_t]: what exact steering follows (engine/losses/soft_value.h)",
       make<SoftValue>},
      {"regression", "E[r | x_t], by least squares: the soft value of a large temperature", make<Regression>},
      {"bradley_terry", "which of two samples of a prompt comes out better", make<BradleyTerry>},
  };
  return table;
}

}  // namespace thalweg
