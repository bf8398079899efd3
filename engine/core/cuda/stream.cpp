#include "engine/core/cuda/stream.h"

#include <c10/util/Exception.h>

#ifdef THALWEG_CUDA
#include <c10/cuda/CUDAStream.h>
#endif

namespace thalweg::cuda {

void* current_stream([[maybe_unused]] c10::Device device) {
#ifdef THALWEG_CUDA
  return c10::cuda::getCurrentCUDAStream(device.index()).stream();
#else
  TORCH_CHECK(false, "this build has no CUDA streams");
#endif
}

}  // namespace thalweg::cuda
