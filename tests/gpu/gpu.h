// Tests that need an NVIDIA GPU and a CUDA build; elsewhere each is skipped by its name.
#pragma once

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <gtest/gtest.h>

#include "engine/core/device.h"

namespace thalweg {

class GpuTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!at::globalContext().hasCUDART()) GTEST_SKIP() << "built without CUDA (cmake --preset cuda)";
    if (!at::hasCUDA()) GTEST_SKIP() << "no NVIDIA GPU can be used here";
    fix_numerics(gpu_);
  }

  const at::Device gpu_{at::kCUDA, 0};
};

inline double largest_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kCPU, at::kDouble) - b.to(at::kCPU, at::kDouble)).abs().max().item<double>();
}

}  // namespace thalweg
