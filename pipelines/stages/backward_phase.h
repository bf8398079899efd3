// Books the backward pass of a function that somebody else differentiates.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>

#include "pipelines/stages/phase_clock.h"

namespace thalweg {

/// f(x). What autograd later does between the gradient of the result and that of x is booked as `phase` and
/// not as the scope around it. The clock must outlive the graph. With a GPU autograd has a thread of its own:
/// the scope around then counts the time that it waits.
at::Tensor with_backward_phase(PhaseClock& clock, std::string phase, const at::Tensor& x,
                               const std::function<at::Tensor(const at::Tensor&)>& f);

}  // namespace thalweg
