// Candidates of a step: successors of each sample that are drawn, looked at and scored, so that one of them
// goes on. SVDD and Doob's transform choose among the same ones.
#pragma once

#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "samplers/kernel.h"
#include "samplers/reward_gradient.h"
#include "samplers/sampler.h"

namespace thalweg {

/// How the M candidates of a sample are drawn. Candidate m has the noise stream slot * M + m.
struct CandidateRule {
  int64_t count = 1;      // M > 0
  bool mirrored = false;  // draw(): candidates m and m + M/2 are mirror images; M is even
  int64_t at_once = 0;    // looked at in one call; 0: as many as make 32 rows. Changes no number
};

/// Scores copies of the batch x' [copies*B,...] (tiled.h), one stream `slots` each, at the step `there`; v
/// and x0 are undefined where the look has none.
using CandidateLook = std::function<Lookahead(const at::Tensor& x, const Step& there, const Conditioning&,
                                              const std::vector<int64_t>& slots)>;

/// M candidates of each sample, mean + std z.
struct Candidates {
  at::Tensor mean_BCFHW;
  double std = 0.0;
  at::Tensor noise;           // z [D,B,C,F,H,W]; candidate m >= D is the mirror image of m - D
  at::Tensor reward_BM;       // float64 on the CPU; NaN: not scored
  std::vector<at::Tensor> v;  // at the candidates, chunk after chunk [k*B,...]; empty: not asked
};

/// The candidate of each sample with the highest key, and the velocity there: undefined where the look has
/// none.
struct Leader {
  at::Tensor x_BCFHW, v_BCFHW;
  at::Tensor reward_BM;  // of all, as in Candidates
};

class CandidateSource {
 public:
  /// Told of the clean latents [k*B,...] that were scored, and of their rewards.
  using Estimates = std::function<void(const at::Tensor& x0, const at::Tensor& reward_kB)>;
  /// Keys [k,B] of candidates `first` and on, float64 on the CPU, by their rewards [k,B].
  using Keys = std::function<at::Tensor(const at::Tensor& reward_kB, int64_t first)>;

  /// All but the rule and `estimates` must outlive it.
  CandidateSource(const SamplerInput& input, const Kernel& kernel, const RewardValue& reward,
                  CandidateRule rule, Estimates estimates = {})
      : in_(input), kernel_(kernel), reward_(reward), rule_(rule), estimates_(std::move(estimates)) {}

  /// Draws around the mean of `step` and scores: by `look` before the next step; in the last one candidates
  /// are scored as they are. Holds the noise of all.
  Candidates draw(const at::Tensor& mean_BCFHW, const Step& step, const CandidateLook& look);

  /// The same, for who needs the leader alone: holds one call's candidates at a time. Candidate 0 has the
  /// noise that the sampler itself would draw.
  Leader lead(const at::Tensor& mean_BCFHW, const Step& step, const CandidateLook& look, const Keys& keys);

 private:
  std::vector<int64_t> slots(int64_t first, int64_t end) const;
  at::Tensor noise(const at::Tensor& mean, const Step& step, int64_t first, int64_t end) const;
  int64_t at_once(int64_t batch, int64_t draws) const;
  /// Of candidates x [copies*B,...], `first` and on.
  Lookahead looked_at(const at::Tensor& x, const Step& step, const CandidateLook& look, int64_t first,
                      int64_t copies);

  const SamplerInput& in_;
  const Kernel& kernel_;
  const RewardValue& reward_;
  CandidateRule rule_;
  Estimates estimates_;
  std::map<int64_t, Conditioning> conditioning_;  // several times over, by the number of copies
};

/// The candidate index_B (int64, on the CPU) of each sample, and the velocity there: undefined where it was
/// not asked.
struct Successor {
  at::Tensor x_BCFHW, v_BCFHW;
};
Successor picked(const Candidates& candidates, const at::Tensor& index_B);

/// The candidate with the highest reward; 0 where none is scored.
at::Tensor best_candidate(const at::Tensor& reward_BM);

}  // namespace thalweg
