#include "engine/core/device.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "engine/core/error.h"

namespace thalweg {
namespace {

TEST(Device, KnowsTheCpu) {
  EXPECT_EQ(device_named("cpu", "/device"), at::Device(at::kCPU));
}

TEST(Device, SaysWhyThereIsNoGpu) {
  if (at::hasCUDA()) GTEST_SKIP() << "there is a GPU";
  const bool built = at::globalContext().hasCUDART();
  try {
    device_named("cuda", "/device");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.place(), "/device");
    EXPECT_NE(e.message().find(built ? "nvidia-smi" : "cmake --preset cuda"), std::string::npos)
        << e.message();
  }
}

TEST(Device, RefusesOtherNames) {
  for (const char* name :
       {"", "gpu", "CUDA", "cuda:", "cuda:x", "cuda:-1", "cuda:0x", "cuda:64", "cuda:99999999999999999999"})
    try {
      device_named(name, "/device");
      ADD_FAILURE() << name;
    } catch (const Error& e) {
      EXPECT_NE(e.message().find("cuda:N"), std::string::npos) << name << ": " << e.message();
    }
}

TEST(Device, ANumberedGpuIsLookedFor) {
  if (at::hasCUDA()) GTEST_SKIP() << "there is a GPU";
  try {
    device_named("cuda:1", "/device");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.message().find("is no device"), std::string::npos) << e.message();
  }
}

TEST(Device, DeterministicMeansEveryOperation) {
  auto& context = at::globalContext();
  fix_numerics(at::Device(at::kCUDA, 0));
  EXPECT_FALSE(context.deterministicAlgorithms());
  fix_numerics(at::Device(at::kCUDA, 0), /*deterministic=*/true);
  EXPECT_TRUE(context.deterministicAlgorithms());
  EXPECT_FALSE(context.deterministicAlgorithmsWarnOnly());  // what cannot is refused by name
  EXPECT_FALSE(context.userEnabledMemEfficientSDP());
  EXPECT_STREQ(std::getenv("CUBLAS_WORKSPACE_CONFIG"), ":4096:8");
  context.setDeterministicAlgorithms(false, false);
  context.setSDPUseMemEfficient(true);
  ::unsetenv("CUBLAS_WORKSPACE_CONFIG");
}

TEST(Device, WhatIsThereStaysWhatItIs) {
  const auto x = at::ones({2});
  EXPECT_TRUE(on_device(x, at::kCPU).is_same(x));
  EXPECT_TRUE(on_host(x).is_same(x));
  EXPECT_FALSE(on_device(at::Tensor(), at::kCPU).defined());
  EXPECT_TRUE(moved({{"x", x}}, at::kCPU).at("x").is_same(x));
  const auto c = on_device(Conditioning{{"a", "b"}, {{"x", x}}}, at::kCPU);
  EXPECT_EQ(c.prompts.size(), 2u);
  EXPECT_TRUE(c.tensors.at("x").is_same(x));
}

TEST(Device, ACpuHasNoQueueToWaitFor) {
  synchronize(at::kCPU);
  fix_numerics(at::kCPU);
  EXPECT_EQ(native_stream(at::kCPU), nullptr);
  EXPECT_GT(peak_memory(at::kCPU), 1 << 20);
}

TEST(Conditioning, RepeatsItsFirstRow) {
  Conditioning c{{"a", "b"}, {{"x", at::arange(6).view({2, 3})}}};
  const auto repeated = c.repeated(3);
  EXPECT_EQ(repeated.prompts, (std::vector<std::string>{"a", "a", "a"}));
  EXPECT_TRUE(at::equal(repeated.tensors.at("x"), c.select({0, 0, 0}).tensors.at("x")));
}

}  // namespace
}  // namespace thalweg
