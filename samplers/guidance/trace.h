// What leads samples by the velocity, step by step, whatever it is made of.
#pragma once

#include "engine/core/values.h"

namespace thalweg {

/// Told of a state at which samples were led: the velocity there without what leads them, and with it. Rows
/// of the second that are not numbers: samples that could not be led there.
using GuidanceSink = std::function<void(const at::Tensor& x_BCFHW, const Step&, const at::Tensor& v_BCFHW,
                                        const at::Tensor& guided_BCFHW)>;

/// guidance(velocity), which tells `sink` of each call that the guidance has changed. Asked by one thread at
/// a time. An empty sink is told nothing.
Velocity traced(const Guidance& guidance, Velocity velocity, GuidanceSink sink);

}  // namespace thalweg
