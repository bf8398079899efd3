#include "tests/gpu/no_waiting.h"

#ifdef THALWEG_CUDA
#include <c10/cuda/CUDAFunctions.h>
#endif

namespace thalweg {
namespace {

#ifdef THALWEG_CUDA
using Mode = c10::cuda::SyncDebugMode;
void set(Mode mode) {
  c10::cuda::warning_state().set_sync_debug_mode(mode);
}
#else
enum class Mode { L_DISABLED, L_WARN, L_ERROR };
void set(Mode) {}  // tests that use it are skipped
#endif

}  // namespace

NoWaiting::NoWaiting() {
  set(Mode::L_ERROR);
}

NoWaiting::~NoWaiting() {
  set(Mode::L_DISABLED);
}

ToldWaiting::ToldWaiting() {
  set(Mode::L_WARN);
}

ToldWaiting::~ToldWaiting() {
  set(Mode::L_DISABLED);
}

}  // namespace thalweg
