// The queue of a GPU that this thread works on.
#pragma once

#include <c10/core/Device.h>

namespace thalweg::cuda {

/// LibTorch's current stream, a cudaStream_t (null is CUDA's default stream). A build without CUDA asserts.
void* current_stream(c10::Device device);

}  // namespace thalweg::cuda
