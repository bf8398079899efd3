// What the files of fused passes share: when a pass is fused, and how its kernels see tensors. Included by
// fused*.cpp alone.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <initializer_list>
#include <optional>

#include "engine/models/cpu/kernels.h"

namespace thalweg::fused {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

inline bool is_fused(const at::Tensor& x) {
  return x.device().is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

template <typename T>
const T* data(const at::Tensor& t) {
  return t.defined() ? reinterpret_cast<const T*>(t.const_data_ptr()) : nullptr;
}

template <typename T>
T* mutable_data(const at::Tensor& t) {
  return t.defined() ? reinterpret_cast<T*>(t.mutable_data_ptr()) : nullptr;
}

// Calls work(T{}) with the element type of the kernels.
template <typename Work>
void with_type(const at::Tensor& x, const Work& work) {
  if (x.scalar_type() == at::kFloat)
    work(float{});
  else
    work(cpu::BFloat16{});
}

// Autograd takes an absent tensor as an absent option, not as an undefined tensor.
using Optional = std::optional<at::Tensor>;

inline Optional optional(const at::Tensor& t) {
  return t.defined() ? Optional(t) : std::nullopt;
}

inline at::Tensor tensor(const Optional& t) {
  return t.value_or(at::Tensor());
}

inline bool needs_gradient(std::initializer_list<at::Tensor> inputs) {
  if (!at::GradMode::is_enabled()) return false;
  for (const auto& t : inputs)
    if (t.defined() && t.requires_grad()) return true;
  return false;
}

}  // namespace thalweg::fused
