#include "engine/core/cuda/normal_noise.h"

#include <c10/util/Exception.h>

#include <algorithm>

#ifdef THALWEG_CUDA
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "engine/core/cuda/normal_kernel.h"
#endif

namespace thalweg::cuda {

#ifdef THALWEG_CUDA
void fill_normal_noise(const at::Tensor& noise, uint64_t seed, uint32_t purpose, at::IntArrayRef slots,
                       uint64_t step) {
  TORCH_CHECK(noise.is_cuda() && noise.is_contiguous(), "noise is drawn into dense memory of a GPU");
  if (noise.numel() == 0) return;
  const c10::cuda::CUDAGuard guard(noise.device());
  const auto stream = c10::cuda::getCurrentCUDAStream(noise.device().index()).stream();
  const auto rows = static_cast<int64_t>(slots.size());
  const int64_t count = noise.numel() / rows;
  NoiseStreams streams{seed, step, purpose, 0, {}};
  for (int64_t begin = 0; begin < rows; begin += kMaxStreams) {
    streams.rows = static_cast<uint32_t>(std::min(rows - begin, kMaxStreams));
    for (uint32_t i = 0; i < streams.rows; ++i)
      streams.slots[i] = static_cast<uint64_t>(slots[static_cast<size_t>(begin + i)]);
    if (noise.scalar_type() == at::kDouble)
      C10_CUDA_CHECK(fill_normal(noise.mutable_data_ptr<double>() + begin * count, count, streams, stream));
    else
      C10_CUDA_CHECK(fill_normal(noise.mutable_data_ptr<float>() + begin * count, count, streams, stream));
  }
}
#else
void fill_normal_noise(const at::Tensor&, uint64_t, uint32_t, at::IntArrayRef, uint64_t) {
  TORCH_CHECK(false, "this build has no CUDA kernels");
}
#endif

}  // namespace thalweg::cuda
