// The kernels of one translation unit as a table. Included by kernels_*.cpp alone.
#pragma once

#include "engine/models/cpu/attention_kernel.h"
#include "engine/models/cpu/group_norm_backward_kernel.h"
#include "engine/models/cpu/group_norm_kernel.h"
#include "engine/models/cpu/token_kernels.h"

namespace thalweg::cpu {
namespace {

template <typename T>
constexpr Kernels<T> table() {
  return {layer_norm<T>,
          layer_norm_backward<T>,
          gated_sum<T>,
          gated_sum_backward<T>,
          gelu<T>,
          gelu_backward<T>,
          group_norm_silu<T>,
          group_norm_silu_interleaved<T>,
          group_norm_silu_backward<T>,
          group_norm_silu_backward_interleaved<T>,
          attention<T>,
          attention_backward<T>};
}

}  // namespace
}  // namespace thalweg::cpu
