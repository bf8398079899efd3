// One step of a batch of particles or candidates.
#pragma once

#include "samplers/transitions.h"

namespace thalweg {

/// mean + std noise; the mean alone for a step without noise, where `noise` may be undefined.
at::Tensor next_latents(const at::Tensor& x_BCFHW, const at::Tensor& v_BCFHW, const at::Tensor& noise_BCFHW,
                        const KernelStep& step);

/// The velocity with which the mean of the step is `shift` g further.
at::Tensor pushed(const at::Tensor& v_BCFHW, const at::Tensor& g_BCFHW, double shift, const KernelStep& step);

}  // namespace thalweg
