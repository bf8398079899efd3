// What libFuzzer calls; THALWEG_FUZZ_TARGET names the target of this program.
#include <ATen/Parallel.h>

#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  at::set_num_threads(1);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  thalweg::fuzz::THALWEG_FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
  return 0;
}
