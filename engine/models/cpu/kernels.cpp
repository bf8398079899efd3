#include "engine/models/cpu/kernels.h"

#include "engine/models/cpu/isa.h"

namespace thalweg::cpu {
namespace {

enum class Isa { avx512, avx2, baseline };

Isa of_this_processor() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return Isa::avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::avx2;
#endif
  return Isa::baseline;
}

const Isa& isa() {
  static const Isa found = of_this_processor();
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
