#include "samplers/cuda/fused_transition.h"

#include <c10/util/Exception.h>

#ifdef THALWEG_CUDA
#include <ATen/ATen.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "samplers/cuda/transition_step.h"
#endif

namespace thalweg::cuda {

#ifdef THALWEG_CUDA
FusedTransition fused_transition(const at::Tensor& x_BCFHW, const at::Tensor& v_BCFHW,
                                 const at::Tensor& noise_BCFHW, const KernelStep& kernel,
                                 const LogProbForm& form) {
  TORCH_CHECK(kernel.std > 0.0, "a step without noise has no log-probability");
  for (const auto* tensor : {&x_BCFHW, &v_BCFHW, &noise_BCFHW})
    TORCH_CHECK(tensor->scalar_type() == at::kFloat && tensor->device() == x_BCFHW.device() &&
                    tensor->sizes() == x_BCFHW.sizes(),
                "the fused step takes float32 tensors of one shape on one GPU");
  const c10::cuda::CUDAGuard guard(x_BCFHW.device());
  const auto x = x_BCFHW.contiguous(), v = v_BCFHW.contiguous(), noise = noise_BCFHW.contiguous();
  TransitionStep step;
  step.samples = x.size(0);
  step.elements = x.numel() / step.samples;
  FusedTransition result{at::empty_like(x), at::empty({step.samples}, x.options())};
  const auto bytes = static_cast<int64_t>(transition_workspace_bytes(step.samples, step.elements));
  const auto workspace = at::zeros({bytes}, x.options().dtype(at::kByte));
  step.x_BD = x.const_data_ptr<float>();
  step.velocity_BD = v.const_data_ptr<float>();
  step.noise_BD = noise.const_data_ptr<float>();
  step.coefficients = {static_cast<float>(kernel.x_scale), static_cast<float>(kernel.v_scale),
                       static_cast<float>(kernel.std), form.weight, form.offset};
  step.next_BD = result.next_BCFHW.mutable_data_ptr<float>();
  step.log_prob_B = result.log_prob_B.mutable_data_ptr<float>();
  step.workspace = workspace.mutable_data_ptr();
  C10_CUDA_CHECK(transition_step(step, c10::cuda::getCurrentCUDAStream(x.device().index()).stream()));
  return result;
}
#else
FusedTransition fused_transition(const at::Tensor&, const at::Tensor&, const at::Tensor&, const KernelStep&,
                                 const LogProbForm&) {
  TORCH_CHECK(false, "this build has no CUDA kernels");
}
#endif

}  // namespace thalweg::cuda
