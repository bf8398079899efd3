// Where a job computes: the CPU, or one NVIDIA GPU. The code is the same on both; only the kernels in folders
// named cuda are not.
#pragma once

#include <string>

#include "engine/core/values.h"

namespace thalweg {

/// "cpu", "cuda" (the first GPU that the process sees) or "cuda:N". Throws Error at `pointer` for a GPU that
/// this build or this machine does not have.
at::Device device_named(const std::string& name, const std::string& pointer);

/// Makes a GPU's float32 mean float32: no TF32, products of bfloat16 are summed in float32, cuDNN keeps to
/// algorithms that give the same numbers every time. `deterministic`: so do all others; an operation that
/// cannot throws and names itself. For the whole process, before it uses the GPU; nothing on a CPU.
void fix_numerics(at::Device device, bool deterministic = false);

/// Makes a GPU this thread's own: for pinned memory, whose driver context would else be the first GPU's.
void use_device(at::Device device);

/// `x` where `device` is. From the CPU to a GPU by way of pinned memory, so that nobody waits; meant for what
/// goes over once a micro-batch.
at::Tensor on_device(const at::Tensor& x, at::Device device);
Conditioning on_device(const Conditioning& conditioning, at::Device device);

/// Weights and states, which go over once: waits, and needs no pinned memory.
TensorMap moved(const TensorMap& tensors, at::Device device);

/// `x` on the CPU. From a GPU into pinned memory; waits for it.
at::Tensor on_host(const at::Tensor& x);

/// Waits until the GPU has done all that was asked of it; nothing on a CPU.
void synchronize(at::Device device);

/// The most memory so far, in bytes: that of tensors on a GPU, of the whole process on a CPU.
int64_t peak_memory(at::Device device);

/// The stream on which this thread's work for the GPU is queued, as a cudaStream_t; null on a CPU.
void* native_stream(at::Device device);

}  // namespace thalweg
