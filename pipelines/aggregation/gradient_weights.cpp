// Gradient-based weights (arXiv 2509.11452): the direction is sum_k w_k g_k, and w, at first the job's
// weights, moves on the simplex towards rewards whose gradients go with those of all: w <- softmax(log w +
// rate I), I_k = g_k . sum_j g_j, mean of `average` solutions.
//
// The authors divide I by a constant of the job; here by the mean of |g_k|^2, so that the rate has the same
// meaning for every model and loss.
#include <ATen/ATen.h>

#include <cmath>

#include "engine/advantages/gradient_weights.h"
#include "engine/core/error.h"
#include "pipelines/aggregation/reward_heads.h"

namespace thalweg {
namespace {

struct Options {
  HeadOptions heads{1, {}};
  double rate = 0.1, floor = 0.0;
  int64_t average = 1;
};

class GradientWeightsAggregator final : public RewardHeads {
 public:
  GradientWeightsAggregator(const Options& options, const GroupNorm& norm, const RewardSet& rewards)
      : RewardHeads(options.heads, norm, rewards), o_(options), w_(weights()) {
    const auto K = static_cast<double>(names().size());
    if (o_.floor * K > 1.0)
      throw Error("/method/aggregation/weight_floor", "must be at most " + std::to_string(1.0 / K) +
                                                          ": one over the number of rewards and groups");
    for (auto& w : w_) w /= K;  // 1 together
    influence_.resize(w_.size(), 0.0);
  }

 protected:
  std::vector<double> solve(const at::Tensor& gram_KK, Metrics& metrics) override {
    const auto scale = gram_KK.diagonal().mean().item<double>();
    const auto influence = gradient_influence(gram_KK);
    if (std::isfinite(scale) && scale > 0.0) {
      for (size_t k = 0; k < influence_.size(); ++k) influence_[k] += influence[k] / scale;
      solutions_[0] += 1.0;
    } else {
      add_metric(metrics, "unsolved", 1.0);
    }
    if (const double n = solutions_[0]; n >= static_cast<double>(o_.average)) {
      for (auto& i : influence_) i /= n;
      w_ = influenced_weights(w_, influence_, o_.rate, o_.floor);
      influence_.assign(influence_.size(), 0.0);
      solutions_[0] = 0.0;
    }
    return w_;
  }

  std::vector<double> mixture() const override { return w_; }
  const std::vector<double>& alpha() const override { return w_; }
  std::map<std::string, std::vector<double>*> memory() override {
    return {{"weights", &w_}, {"influence", &influence_}, {"solutions", &solutions_}};
  }

 private:
  const Options o_;
  std::vector<double> w_, influence_, solutions_ = {0.0};  // 1 together; summed over so many solutions
};

class GradientWeights final : public Cloneable<GradientWeights, Aggregation> {
 public:
  void describe(Fields& f) override {
    thalweg::describe(f, o_.heads);
    f.number({"rate", "of the weights: how fast they follow"}, o_.rate, 0.0, 1e3);
    f.number({"weight_floor", "least weight of a reward; all together are 1"}, o_.floor, 0.0, 1.0);
    f.integer({"average", "solutions whose mean moves the weights once"}, o_.average, 1, 10000);
  }
  std::unique_ptr<Aggregator> start(const GroupNorm& norm, const RewardSet& rewards) const override {
    return std::make_unique<GradientWeightsAggregator>(o_, norm, rewards);
  }

 private:
  Options o_;
};

}  // namespace

std::unique_ptr<Aggregation> make_gradient_weights() {
  return std::make_unique<GradientWeights>();
}

}  // namespace thalweg
