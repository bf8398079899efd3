// MARBLE (arXiv 2605.06507): every reward has a loss, and the update is the shortest convex combination
// d = sum_k alpha_k u_k of their gradients' directions u_k = g_k / |g_k|, which rises along all of them
// (d . u_k >= |d|^2), times the mean of the norms |g_k|. Penalties stay outside (step_loss.h).
//
// The authors solve for the first micro-batch and noise level of every tenth update; here it is the gradient
// of that whole update. They multiply u_k by weights, which makes a reward of large weight count less; here
// u_k / w_k is combined, so that one of twice the weight is promised twice the progress. With equal weights
// both are the same.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "engine/advantages/min_norm.h"
#include "engine/core/error.h"
#include "pipelines/aggregation/reward_heads.h"

namespace thalweg {
namespace {

struct Options {
  HeadOptions heads;
  double floor = 0.0, ema_decay = 0.7;
  std::string scale = "raw";
};

class MarbleAggregator final : public RewardHeads {
 public:
  MarbleAggregator(const Options& options, const GroupNorm& norm, const RewardSet& rewards)
      : RewardHeads(options.heads, norm, rewards), o_(options) {
    if (const auto K = static_cast<double>(names().size()); o_.floor * K > 1.0)
      throw Error("/method/aggregation/alpha_floor", "must be at most " + std::to_string(1.0 / K) +
                                                         ": one over the number of rewards and groups");
  }

 protected:
  std::vector<double> solve(const at::Tensor& gram_KK, Metrics& metrics) override {
    const auto K = names().size();
    const auto G = gram_KK.accessor<double, 2>();
    std::vector<size_t> left;  // heads that have a direction
    std::vector<double> norms(K, 0.0);
    double mean_norm = 0.0;
    for (size_t k = 0; k < K; ++k) {
      const auto i = static_cast<int64_t>(k);
      norms[k] = std::sqrt(G[i][i]);
      if (std::isfinite(norms[k]) && norms[k] > kZero) left.push_back(k);
    }
    // All the same 0, or a number that is none: whoever steps sees to that.
    if (left.empty()) return std::vector<double>(K, 1.0 / static_cast<double>(K));
    for (const auto k : left) mean_norm += norms[k] / static_cast<double>(left.size());
    const auto found = combination(gram_KK, left, norms, metrics);
    std::vector<double> solved(K, 0.0), coefficients(K, 0.0);
    for (size_t i = 0; i < left.size(); ++i) {
      const auto k = left[i];
      solved[k] = found[i];
      coefficients[k] = left.size() == 1 ? 1.0 : found[i] / (weights()[k] * norms[k]) * mean_norm;
    }
    if (left.size() < K) add_metric(metrics, "dropped_heads", static_cast<double>(K - left.size()));
    remember(solved, norms);
    return coefficients;
  }

  std::vector<double> mixture() const override {
    std::vector<double> mixture = alpha_;
    for (size_t k = 0; k < mixture.size(); ++k) {
      mixture[k] /= weights()[k];
      if (o_.scale == "unit") mixture[k] = norms_[k] > 0.0 ? mixture[k] / norms_[k] : 0.0;
    }
    return mixture;
  }

  const std::vector<double>& alpha() const override { return alpha_; }
  std::map<std::string, std::vector<double>*> memory() override {
    return {{"alpha", &alpha_}, {"norms", &norms_}};
  }

 private:
  static constexpr double kZero = 1e-12;

  // alpha of those heads.
  std::vector<double> combination(const at::Tensor& gram_KK, const std::vector<size_t>& heads,
                                  const std::vector<double>& norms, Metrics& metrics) const {
    const auto n = static_cast<int64_t>(heads.size());
    auto hull = at::empty({n, n}, at::kDouble);  // inner products of u_k / w_k
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j) {
        const auto a = heads[static_cast<size_t>(i)], b = heads[static_cast<size_t>(j)];
        hull[i][j] = gram_KK[static_cast<int64_t>(a)][static_cast<int64_t>(b)] /
                     (norms[a] * norms[b] * weights()[a] * weights()[b]);
      }
    if (const auto found = min_norm(hull, o_.floor)) return *found;
    add_metric(metrics, "unsolved", 1.0);
    return std::vector<double>(heads.size(), 1.0 / static_cast<double>(n));
  }

  // A norm of 0 tells nothing: the last one stays.
  void remember(const std::vector<double>& solved, const std::vector<double>& norms) {
    const double kept = alpha_.empty() ? 0.0 : o_.ema_decay;
    alpha_.resize(solved.size(), 0.0);
    norms_.resize(solved.size(), 0.0);
    for (size_t k = 0; k < solved.size(); ++k) {
      alpha_[k] = kept * alpha_[k] + (1.0 - kept) * solved[k];
      if (std::isfinite(norms[k]) && norms[k] > kZero) norms_[k] = norms[k];
    }
  }

  const Options o_;
  std::vector<double> alpha_, norms_;  // smoothed; of the last solution
};

class Marble final : public Cloneable<Marble, Aggregation> {
 public:
  void describe(Fields& f) override {
    thalweg::describe(f, o_.heads);
    f.number({"alpha_floor", "least share of a reward in the combination"}, o_.floor, 0.0, 1.0);
    f.number({"ema_decay", "of the shares that the updates between take: decay old + (1 - decay) new"},
             o_.ema_decay, 0.0, 0.9999);
    f.choice(
        {"alpha_scale",
         "what those updates mix: gradients as they are (raw, as published) or of norm 1 as in the solution "
         "(unit)"},
        o_.scale, {"raw", "unit"});
  }
  std::unique_ptr<Aggregator> start(const GroupNorm& norm, const RewardSet& rewards) const override {
    return std::make_unique<MarbleAggregator>(o_, norm, rewards);
  }

 private:
  Options o_;
};

}  // namespace

std::unique_ptr<Aggregation> make_marble() {
  return std::make_unique<Marble>();
}

}  // namespace thalweg
