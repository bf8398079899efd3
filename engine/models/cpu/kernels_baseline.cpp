#include "engine/models/cpu/isa.h"
#include "engine/models/cpu/kernel_table.h"

namespace thalweg::cpu::baseline {

const Kernels<float> of_float = table<float>();
const Kernels<BFloat16> of_bfloat16 = table<BFloat16>();

}  // namespace thalweg::cpu::baseline
