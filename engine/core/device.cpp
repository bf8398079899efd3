#include "engine/core/device.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <sys/resource.h>

#include <charconv>
#include <cstdlib>
#include <optional>

#include "engine/core/cuda/stream.h"
#include "engine/core/error.h"
#include "engine/core/names.h"

namespace thalweg {
namespace {

constexpr int64_t kMaxGpus = 64;

/// 0 of "cuda", N of "cuda:N"; none of anything else.
std::optional<int64_t> gpu_index(const std::string& name) {
  if (name == "cuda") return 0;
  if (!name.starts_with("cuda:")) return std::nullopt;
  int64_t index = -1;
  const auto* end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data() + 5, end, index);
  if (error != std::errc() || rest != end || index < 0 || index >= kMaxGpus) return std::nullopt;
  return index;
}

}  // namespace

at::Device device_named(const std::string& name, const std::string& pointer) {
  if (name == "cpu") return at::kCPU;
  const auto index = gpu_index(name);
  if (!index)
    throw Error(pointer, "\"" + name + "\" is no device; cpu, cuda and cuda:N are" +
                             suggestion(name, {"cpu", "cuda", "cuda:0", "cuda:1"}));
  if (!at::globalContext().hasCUDART())
    throw Error(pointer,
                "this program was built without CUDA; build it with `cmake --preset cuda` or use the device "
                "cpu");
  if (!at::hasCUDA())
    throw Error(pointer,
                "no NVIDIA GPU can be used here: see whether `nvidia-smi` lists one and whether "
                "CUDA_VISIBLE_DEVICES hides it, or use the device cpu");
  const auto count = c10::impl::VirtualGuardImpl(at::kCUDA).deviceCount();
  if (*index >= count)
    throw Error(pointer, "this process sees " + std::to_string(count) +
                             " NVIDIA GPUs, the last is cuda:" + std::to_string(count - 1));
  return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(*index));
}

void use_device(at::Device device) {
  if (device.is_cuda()) c10::impl::VirtualGuardImpl(device.type()).setDevice(device);
}

void fix_numerics(at::Device device, bool deterministic) {
  if (!device.is_cuda()) return;
  auto& context = at::globalContext();
  if (deterministic) {
    ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);  // read when cuBLAS is first used
    context.setDeterministicAlgorithms(true, /*warn_only=*/false);
    context.setDeterministicFillUninitializedMemory(false);
    context.setSDPUseMemEfficient(false);  // its backward pass adds up in any order
  }
  context.setAllowTF32CuBLAS(false);
  context.setAllowTF32CuDNN(false);
  context.setAllowBF16ReductionCuBLAS(false);
  context.setDeterministicCuDNN(true);
  context.setBenchmarkCuDNN(false);
}

at::Tensor on_device(const at::Tensor& x, at::Device device) {
  if (!x.defined() || x.device() == device) return x;
  if (!x.is_cpu()) return x.to(device);
  return x.contiguous().pin_memory().to(device, /*non_blocking=*/true);
}

Conditioning on_device(const Conditioning& conditioning, at::Device device) {
  Conditioning there{conditioning.prompts, {}, conditioning.metadata_json};
  for (const auto& [name, tensor] : conditioning.tensors) there.tensors[name] = on_device(tensor, device);
  return there;
}

TensorMap moved(const TensorMap& tensors, at::Device device) {
  TensorMap there;
  for (const auto& [name, tensor] : tensors) there[name] = tensor.to(device);
  return there;
}

at::Tensor on_host(const at::Tensor& x) {
  if (!x.is_cuda()) return x;
  return at::empty(x.sizes(), x.options().device(at::kCPU).pinned_memory(true)).copy_(x);
}

void synchronize(at::Device device) {
  if (device.is_cuda()) c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
}

int64_t peak_memory(at::Device device) {
  if (!device.is_cuda()) {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss * 1024;
  }
  const auto stats = at::getDeviceAllocator(device.type())->getDeviceStats(device.index());
  return stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak;
}

void* native_stream(at::Device device) {
  return device.is_cuda() ? cuda::current_stream(device) : nullptr;
}

}  // namespace thalweg
