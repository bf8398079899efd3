#include "engine/core/cuda/normal_kernel.h"
#include "engine/core/philox.h"

namespace thalweg::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 1024;

// gridDim = (blocks of one row, rows). A thread draws pairs of neighbours, as the CPU does.
template <typename Scalar>
__global__ void __launch_bounds__(kThreads)
    fill_normal_kernel(Scalar* const out, const int64_t count, const __grid_constant__ NoiseStreams streams) {
  const int64_t pairs = (count + 1) / 2, stride = static_cast<int64_t>(gridDim.x) * kThreads;
  const uint64_t slot = streams.slots[blockIdx.y];
  Scalar* const row = out + static_cast<int64_t>(blockIdx.y) * count;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < pairs; i += stride) {
    const auto counter = noise_counter(streams.purpose, slot, streams.step, static_cast<uint32_t>(i));
    const auto pair = normal_pair(philox_block(streams.seed, counter));
    row[2 * i] = static_cast<Scalar>(pair.first);
    if (2 * i + 1 < count) row[2 * i + 1] = static_cast<Scalar>(pair.second);
  }
}

template <typename Scalar>
cudaError_t launch(Scalar* out, int64_t count, const NoiseStreams& streams, cudaStream_t stream) {
  if (out == nullptr || count < 1 || count >= (int64_t{1} << 25) || streams.rows < 1 ||
      streams.rows > kMaxStreams) {
    return cudaErrorInvalidValue;
  }
  const int64_t blocks = ((count + 1) / 2 + kThreads - 1) / kThreads;
  const dim3 grid(static_cast<unsigned int>(blocks < kMaxBlocks ? blocks : kMaxBlocks), streams.rows);
  fill_normal_kernel<Scalar><<<grid, kThreads, 0, stream>>>(out, count, streams);
  return cudaGetLastError();
}

}  // namespace

cudaError_t fill_normal(float* out, int64_t count, const NoiseStreams& streams, cudaStream_t stream) {
  return launch(out, count, streams, stream);
}

cudaError_t fill_normal(double* out, int64_t count, const NoiseStreams& streams, cudaStream_t stream) {
  return launch(out, count, streams, stream);
}

}  // namespace thalweg::cuda
