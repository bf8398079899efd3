// The kernel tables, one for each instruction set (CMake gives each file its own flags).
#pragma once

#include "engine/models/cpu/kernels.h"

namespace thalweg::cpu {

namespace avx512 {
extern const Kernels<float> of_float;
extern const Kernels<BFloat16> of_bfloat16;
}  // namespace avx512
namespace avx2 {
extern const Kernels<float> of_float;
extern const Kernels<BFloat16> of_bfloat16;
}  // namespace avx2
namespace baseline {
extern const Kernels<float> of_float;
extern const Kernels<BFloat16> of_bfloat16;
}  // namespace baseline

}  // namespace thalweg::cpu
