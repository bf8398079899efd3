#include "engine/core/device.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <sys/resource.h>

#include "engine/core/cuda/stream.h"
#include "engine/core/error.h"

namespace thalweg {

at::Device device_named(const std::string& name, const std::string& pointer) {
  if (name == "cpu") return at::kCPU;
  if (name != "cuda") throw Error(pointer, "\"" + name + "\" is no device; cpu and cuda are");
  if (!at::globalContext().hasCUDART())
    throw Error(pointer,
                "this program was built without CUDA; build it with `cmake --preset cuda` or use the device "
                "cpu");
  if (!at::hasCUDA())
    throw Error(pointer,
                "no NVIDIA GPU can be used here: see whether `nvidia-smi` lists one and whether "
                "CUDA_VISIBLE_DEVICES hides it, or use the device cpu");
  return at::Device(at::kCUDA, 0);
}

void fix_numerics(at::Device device) {
  if (!device.is_cuda()) return;
  auto& context = at::globalContext();
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
