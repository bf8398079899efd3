#include "engine/models/cpu/kernels.h"

#include <ATen/Version.h>

#include <string>

#include "engine/models/cpu/isa.h"

namespace thalweg::cpu {
namespace {

enum class Isa { avx512, avx2, baseline };

// What ATen's own loops use, so that one name (and ATEN_CPU_CAPABILITY) stands for both.
Isa isa() {
  static const Isa found = [] {
    const auto capability = at::get_cpu_capability();
    return capability == "AVX512" ? Isa::avx512 : capability == "AVX2" ? Isa::avx2 : Isa::baseline;
  }();
  return found;
}

}  // namespace

template <>
const Kernels<float>& kernels<float>() {
  return isa() == Isa::avx512 ? avx512::of_float : isa() == Isa::avx2 ? avx2::of_float : baseline::of_float;
}

template <>
const Kernels<BFloat16>& kernels<BFloat16>() {
  return isa() == Isa::avx512 ? avx512::of_bfloat16
         : isa() == Isa::avx2 ? avx2::of_bfloat16
                              : baseline::of_bfloat16;
}

}  // namespace thalweg::cpu
