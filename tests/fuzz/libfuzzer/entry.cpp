// What libFuzzer calls; THALWEG_FUZZ_TARGET names the target of this program.
#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  thalweg::fuzz::THALWEG_FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
  return 0;
}
