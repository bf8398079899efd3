// What the ways share that give each reward a loss of its own. At some updates every reward's gradient is
// taken and the coefficients are found anew; at the others one loss is differentiated, that of the mixed
// advantages: a backward pass, as for one reward. The two are the same for losses that are affine in their
// advantages (NFT; a policy gradient whose ratio is 1).
#pragma once

#include <string>
#include <vector>

#include "pipelines/training/aggregation.h"

namespace thalweg {

/// The gradient of a head is the mean, by the rewards' weights, of those of its rewards.
struct RewardGroup {
  std::string name;
  std::vector<std::string> rewards;  // "plugin/dimension"
};

struct HeadOptions {
  int64_t every = 10;               // updates between two with all gradients; 1: always
  std::vector<RewardGroup> groups;  // rewards of none are heads alone
};
void describe(Fields& fields, HeadOptions& options);

/// Of an update: one loss whose gradient is sum_k c_k g_k / sum_k c_k, g_k the gradients of the heads that
/// have samples there. c_k >= 0; if all of those are 0, they count alike.
Head mixed(const std::vector<Head>& heads, const std::vector<double>& coefficients);

class RewardHeads : public Aggregator {
 public:
  /// Throws Error below /method/aggregation/groups for rewards that are not trained, or named twice.
  RewardHeads(HeadOptions options, const GroupNorm& norm, const RewardSet& rewards);

  /// Of each trained reward over the samples that have it.
  Advantages advantages(const Scores& scores, Metrics& metrics) final;
  std::vector<Head> heads(const Advantages& advantages, const Update& update) final;
  TensorMap direction(Gradients of_heads, Metrics& metrics) final;
  void state(RunState& state) final;

 protected:
  /// Of the heads: a reward's name, or a group's.
  const std::vector<std::string>& names() const { return names_; }
  /// Their weights in the job, 1 in the mean; of a group, its rewards' mean.
  const std::vector<double>& weights() const { return weights_; }
  /// The coefficients of the gradients in the direction, from their inner products [K,K] (float64 on the
  /// CPU); a gradient of coefficient 0 may hold anything.
  virtual std::vector<double> solve(const at::Tensor& gram_KK, Metrics& metrics) = 0;
  /// Those of the mixed loss; asked after a solution only.
  virtual std::vector<double> mixture() const = 0;
  /// What metrics call alpha_NAME; empty: nothing was solved yet.
  virtual const std::vector<double>& alpha() const = 0;
  /// What is kept between updates, by name.
  virtual std::map<std::string, std::vector<double>*> memory() = 0;

 private:
  struct Member {
    size_t reward;  // of the trained ones
    double share;   // of its head
  };
  void add_head(std::string name, const std::vector<size_t>& rewards, const std::vector<double>& weights_K);
  void measure(const at::Tensor& gram_KK, Metrics& metrics) const;

  const HeadOptions options_;
  const GroupNorm norm_;
  std::vector<std::string> names_;
  std::vector<double> weights_;
  std::vector<std::vector<Member>> members_;
  int64_t updates_ = 0;  // since the last solution; 0: there is none
};

}  // namespace thalweg
