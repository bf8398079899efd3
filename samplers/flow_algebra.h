// What a velocity says: x_t = (1-t) x_0 + t e, v = e - x_0. All steering enters through `guided`.
#pragma once

#include "engine/core/per_sample.h"
#include "engine/core/values.h"

namespace thalweg {

/// x - t v: the mean of x_0 given x_t.
at::Tensor clean_estimate(const at::Tensor& x_BCFHW, const at::Tensor& v_BCFHW, const Step& step);

/// x + (1-t) v: the mean of the noise given x_t.
at::Tensor noise_estimate(const at::Tensor& x_BCFHW, const at::Tensor& v_BCFHW, const Step& step);

/// The velocity of the tilted law p_t e^{log h_t} for g = grad log h_t: v - (t/(1-t)) g. Exact with every
/// kernel, since score and drift both come from it. For t < 1 (see below_one); at t = 1 g counts as 0, and so
/// it does for a sample whose g is not finite.
at::Tensor guided(const at::Tensor& v_BCFHW, const at::Tensor& g_BCFHW, const Step& step);

/// `step` where t/(1-t) g is to be taken: at t = 1, where x carries nothing of x_0, g is 0 and falls as 1-t,
/// so that the product has a limit; it is read half-way to the next level. What that is off by is of the
/// order of the first step, in one step of many: solvers of second order keep their order. No nearer to 1,
/// because 1/(1-t) makes as much of a network's own error.
Step below_one(const Step& step);

/// `step` as a place where clean latents are scored: the same samples at noise level 0.
Step clean_step(const Step& step);

/// The same of finished samples, which stand behind all steps: index -1.
Step finished_step(const Step& last);

}  // namespace thalweg
