#include "samplers/cuda/transition_step.h"

namespace thalweg::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarp = 32;
constexpr std::int64_t kMaxSamples = 65535;  // the limit of gridDim.y
constexpr std::int64_t kElementsPerBlock = 8192;
constexpr std::int64_t kMaxBlocks = 1024;

// A function of the size alone, so that sums are the same on every device.
std::int64_t blocks_per_sample(std::int64_t elements) {
  const std::int64_t blocks = (elements + kElementsPerBlock - 1) / kElementsPerBlock;
  return blocks < kMaxBlocks ? blocks : kMaxBlocks;
}

// The workspace: B x blocks partial sums, then B counters of finished blocks.
__host__ __device__ unsigned int* finished_counters(void* workspace, std::int64_t samples,
                                                    std::int64_t blocks) {
  return reinterpret_cast<unsigned int*>(static_cast<double*>(workspace) + samples * blocks);
}

// The sum over the block, valid in thread 0. A fixed tree: the same order every time.
__device__ double block_sum(double value) {
  __shared__ double warp_sums[kThreads / kWarp];
  for (int offset = kWarp / 2; offset > 0; offset /= 2) value += __shfl_down_sync(0xffffffffu, value, offset);
  if (threadIdx.x % kWarp == 0) warp_sums[threadIdx.x / kWarp] = value;
  __syncthreads();
  double total = 0.0;
  if (threadIdx.x == 0) {
    for (double warp_sum : warp_sums) total += warp_sum;
  }
  __syncthreads();  // the next call writes warp_sums again
  return total;
}

// The elements of this block: stores next, returns this thread's sum of squared residuals. Products and sums
// are rounded where those of the ATen path on a CPU are: x a, then one multiply-add a line.
__device__ float step_elements(const TransitionStep& step, std::int64_t first) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads;
  const float x_scale = step.coefficients.x_scale, v_scale = step.coefficients.v_scale,
              std = step.coefficients.std;
  float squares = 0.0f;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < step.elements;
       i += stride) {
    const std::int64_t at = first + i;
    const float mean = __fmaf_rn(step.velocity_BD[at], v_scale, __fmul_rn(step.x_BD[at], x_scale));
    const float next = __fmaf_rn(step.noise_BD[at], std, mean);
    step.next_BD[at] = next;
    // From the rounded next, not from the noise: replay sees the stored value and must find the same density.
    const float residual = next - mean;
    squares += residual * residual;
  }
  return squares;
}

// gridDim = (blocks of one sample, samples). The last block of a sample to finish adds up all partial sums.
__global__ void __launch_bounds__(kThreads) transition_kernel(const __grid_constant__ TransitionStep step) {
  const std::int64_t sample = blockIdx.y;
  const std::int64_t blocks = gridDim.x;
  const double partial = block_sum(step_elements(step, sample * step.elements));

  double* const partials = static_cast<double*>(step.workspace) + sample * blocks;
  unsigned int* const finished = finished_counters(step.workspace, step.samples, blocks) + sample;
  __shared__ bool is_last;
  if (threadIdx.x == 0) {
    partials[blockIdx.x] = partial;
    __threadfence();  // the partial sum must be visible before the counter says so
    is_last = atomicAdd(finished, 1u) + 1u == gridDim.x;
  }
  __syncthreads();
  if (!is_last) return;

  __threadfence();
  double sum = 0.0;
  for (std::int64_t block = threadIdx.x; block < blocks; block += kThreads) {
    sum += static_cast<volatile const double*>(partials)[block];
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) {
    const double mean_square = sum / static_cast<double>(step.elements);
    step.log_prob_B[sample] =
        static_cast<float>(step.coefficients.offset - step.coefficients.weight * mean_square);
    *finished = 0u;
  }
}

}  // namespace

std::size_t transition_workspace_bytes(std::int64_t samples, std::int64_t elements) {
  const std::size_t partials =
      static_cast<std::size_t>(samples * blocks_per_sample(elements)) * sizeof(double);
  return partials + static_cast<std::size_t>(samples) * sizeof(unsigned int);
}

cudaError_t transition_step(const TransitionStep& step, cudaStream_t stream) {
  const bool complete = step.x_BD != nullptr && step.velocity_BD != nullptr && step.noise_BD != nullptr &&
                        step.next_BD != nullptr && step.log_prob_B != nullptr && step.workspace != nullptr;
  if (!complete || step.samples < 1 || step.samples > kMaxSamples || step.elements < 1) {
    return cudaErrorInvalidValue;
  }
  const dim3 grid(static_cast<unsigned int>(blocks_per_sample(step.elements)),
                  static_cast<unsigned int>(step.samples));
  transition_kernel<<<grid, kThreads, 0, stream>>>(step);
  return cudaGetLastError();
}

}  // namespace thalweg::cuda
