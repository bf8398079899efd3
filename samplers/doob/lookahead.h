// What Doob's candidates are scored by.
#pragma once

#include <string>

#include "samplers/candidates/candidates.h"
#include "samplers/doob/doob.h"

namespace thalweg {

/// What the candidates of every step have in common.
struct DoobContext {
  const SamplerInput& input;
  const Kernel& kernel;
  const RewardValue& reward;
  const DoobOptions& options;
};

/// The look at the candidates of `step`, which is taken from x with the velocity v. `context` must outlive
/// it.
using DoobLook = CandidateLook (*)(const DoobContext& context, const at::Tensor& x_BCFHW,
                                   const at::Tensor& v_BCFHW, const Step& step);
DoobLook doob_look(const std::string& lookahead);

/// J^T u of a step's mean x_scale x + v_scale v(x); v must be part of a graph from x.
at::Tensor mean_vjp(const at::Tensor& v_BCFHW, const at::Tensor& x_BCFHW, const at::Tensor& u_BCFHW,
                    const KernelStep& kernel);

}  // namespace thalweg
