// Candidates of a step: drawn, looked ahead from, scored.
#pragma once

#include <map>

#include "samplers/doob/doob.h"
#include "samplers/reward_gradient.h"

namespace thalweg {

/// The best clean latents so far and their rewards (-inf: none was scored).
struct BestEstimate {
  at::Tensor x0_BCFHW, reward_B;

  void offer(const at::Tensor& x0, const at::Tensor& reward_B);
};

/// What the candidates of every step have in common.
struct DoobContext {
  const SamplerInput& input;
  const Kernel& kernel;
  const RewardValue& reward;
  const DoobOptions& options;
  std::map<int64_t, Conditioning> conditioning = {};  // several times over, by the number of copies
  BestEstimate best = {};                             // of all candidates, with keep_best
};

/// What a look ahead may need of candidates beside where they stand.
struct CandidateOrigin {
  at::Tensor noise_BCFHW;      // the noise estimate of the state that they come from
  std::vector<int64_t> slots;  // of each candidate [copies*B], for noise of its own
};

/// Scores copies of the batch x' [copies*B,...] (Tiled) at the step `there`; v and x0 are undefined where the
/// look ahead has none.
using CandidateLook = Lookahead (*)(const DoobContext&, const at::Tensor& x, const Step& there,
                                    const Conditioning&, const CandidateOrigin&);
CandidateLook candidate_look(const std::string& lookahead);

/// M candidates of each sample.
struct Candidates {
  at::Tensor noise;           // [D,B,C,F,H,W]; candidate m >= D is the mirror image of m - D
  at::Tensor reward_BM;       // float64 on the CPU; NaN: not scored
  std::vector<at::Tensor> v;  // at the candidates, chunk after chunk [k*B,...]; empty: not asked
};

/// Draws and scores around `mean`; `v` is the velocity at x.
Candidates draw_candidates(DoobContext& context, const at::Tensor& x_BCFHW, const at::Tensor& v_BCFHW,
                           const at::Tensor& mean_BCFHW, const Step& step);

/// z of candidate index_B (int64, on the CPU) of each sample.
at::Tensor noise_of(const Candidates& candidates, const at::Tensor& index_B);
/// The velocity there; undefined where it was not asked.
at::Tensor velocity_of(const Candidates& candidates, const at::Tensor& index_B);
/// sum_m c_m z_m; coefficients_BM float64 on the CPU.
at::Tensor noise_sum(const Candidates& candidates, const at::Tensor& coefficients_BM);

/// J^T u of a step's mean x_scale x + v_scale v(x); v must be part of a graph from x.
at::Tensor mean_vjp(const at::Tensor& v_BCFHW, const at::Tensor& x_BCFHW, const at::Tensor& u_BCFHW,
                    const KernelStep& kernel);

}  // namespace thalweg
