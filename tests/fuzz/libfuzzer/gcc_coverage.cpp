// libFuzzer under GCC, for what Clang 14 cannot compile (coroutines with this libstdc++): GCC calls this for
// every block, and libFuzzer takes counters of its own section as coverage. Compiled without instrumentation.
#include <cstdint>

namespace {

constexpr uintptr_t kCounters = 1 << 16;
__attribute__((section("__libfuzzer_extra_counters"), used)) uint8_t counters[kCounters];

}  // namespace

extern "C" void __sanitizer_cov_trace_pc() {
  const auto place = reinterpret_cast<uintptr_t>(__builtin_return_address(0));
  ++counters[(place ^ (place >> 16)) % kCounters];
}

// Of comparisons of fractions libFuzzer makes nothing.
extern "C" void __sanitizer_cov_trace_cmpf(float, float) {}
extern "C" void __sanitizer_cov_trace_cmpd(double, double) {}
