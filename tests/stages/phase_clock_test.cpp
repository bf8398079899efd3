#include "pipelines/stages/phase_clock.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "pipelines/stages/backward_phase.h"

namespace thalweg {
namespace {

constexpr double kNap = 0.03;

void nap() {
  std::this_thread::sleep_for(std::chrono::duration<double>(kNap));
}

// Twice x, whose forward and backward sleep.
struct Sleeper : torch::autograd::Function<Sleeper> {
  static at::Tensor forward(torch::autograd::AutogradContext*, const at::Tensor& x) {
    nap();
    return 2 * x;
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 torch::autograd::variable_list gradient) {
    nap();
    return {2 * gradient[0]};
  }
};

double wall(const PhaseClock& clock, const std::string& phase) {
  const auto times = clock.times();
  return times.contains(phase) ? times.at(phase).wall : 0.0;
}

template <class Work>
double elapsed(const Work& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

TEST(PhaseClock, AScopeInsideIsNotBookedTwice) {
  PhaseClock clock;
  const double whole = elapsed([&] {
    PhaseClock::Scope outer(clock, "outer");
    nap();
    PhaseClock::Scope inner(clock, "inner");
    nap();
  });
  EXPECT_GE(wall(clock, "outer"), kNap);
  EXPECT_GE(wall(clock, "inner"), kNap);
  EXPECT_LE(wall(clock, "outer") + wall(clock, "inner"), whole);
}

TEST(PhaseClock, ABackwardPassIsAPhaseOfItsOwnWheneverItRuns) {
  PhaseClock clock;
  const double whole = elapsed([&] {
    PhaseClock::Scope outer(clock, "rollout");
    const auto x = at::ones({3}).requires_grad_();
    const auto y = with_backward_phase(clock, "gradient", x, [&](const at::Tensor& inside) {
      PhaseClock::Scope scope(clock, "network");
      return Sleeper::apply(inside);
    });
    const auto value = Sleeper::apply(x - y).sum();  // its own backward stays in the scope around
    for (int pass = 0; pass < 2; ++pass) {
      const auto gradient = torch::autograd::grad({value}, {x}, {}, true)[0];
      EXPECT_TRUE(gradient.equal(at::full({3}, -2.0)));
    }
  });
  EXPECT_GE(wall(clock, "network"), kNap);
  EXPECT_GE(wall(clock, "gradient"), 2 * kNap);
  EXPECT_GE(wall(clock, "rollout"), 3 * kNap);
  EXPECT_LE(wall(clock, "network") + wall(clock, "gradient") + wall(clock, "rollout"), whole);
}

TEST(PhaseClock, WithoutAGraphNothingIsBooked) {
  PhaseClock clock;
  const auto f = [](const at::Tensor& x) { return 2 * x; };
  EXPECT_FALSE(with_backward_phase(clock, "gradient", at::ones({3}), f).requires_grad());
  const auto leaf = at::ones({3}).requires_grad_();
  {
    const c10::NoGradGuard no_grad;
    EXPECT_FALSE(with_backward_phase(clock, "gradient", leaf, f).requires_grad());
  }
  const auto cut =
      with_backward_phase(clock, "gradient", leaf, [](const at::Tensor& x) { return x.detach(); });
  EXPECT_FALSE(cut.requires_grad());
  EXPECT_TRUE(clock.times().empty());
}

TEST(PhaseClock, ABackwardPassThatThrowsLeavesTheClockUsable) {
  PhaseClock clock;
  {
    PhaseClock::Scope outer(clock, "rollout");
    const auto x = at::ones({3}).requires_grad_();
    const auto y = with_backward_phase(clock, "gradient", x, [](const at::Tensor& inside) {
      const auto middle = inside * 2;
      middle.register_hook([](const at::Tensor&) { throw std::runtime_error("no gradient today"); });
      return middle * 3;
    });
    EXPECT_THROW(torch::autograd::grad({y.sum()}, {x}), std::runtime_error);
  }
  EXPECT_EQ(clock.times().size(), 1U);
}

// A device whose queue is a counter: each mark is a second after the one before.
struct CountedQueue final : c10::impl::DeviceGuardImplInterface {
  static inline std::atomic<int> recorded{0}, waits{0};

  c10::DeviceType type() const override { return c10::kPrivateUse1; }
  c10::Device getDevice() const override { return {type(), 0}; }
  c10::Device exchangeDevice(c10::Device) const override { return getDevice(); }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device device) const override {
    return c10::Stream(c10::Stream::DEFAULT, device);
  }
  c10::Stream exchangeStream(c10::Stream stream) const override { return stream; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void** event, const c10::Stream&, c10::DeviceIndex, c10::EventFlag) const override {
    *event = new double(++recorded);
  }
  void destroyEvent(void* event, c10::DeviceIndex) const noexcept override {
    delete static_cast<double*>(event);
  }
  bool queryEvent(void*) const override { return true; }
  void synchronizeEvent(void*) const override { ++waits; }
  void synchronizeDevice(c10::DeviceIndex) const override { ++waits; }
  double elapsedTime(void* begin, void* end, c10::DeviceIndex) const override {
    return (*static_cast<double*>(end) - *static_cast<double*>(begin)) * 1e3;
  }
};

TEST(PhaseClock, AGpuIsWaitedForWhenTimesAreReadAlone) {
  const c10::impl::DeviceGuardImplRegistrar registrar(c10::kPrivateUse1, new CountedQueue);
  PhaseClock clock(c10::Device(c10::kPrivateUse1, 0));
  for (int i = 0; i < 3; ++i) {
    PhaseClock::Scope outer(clock, "outer");
    PhaseClock::Scope inner(clock, "inner");
  }
  EXPECT_EQ(CountedQueue::waits, 0);
  EXPECT_NEAR(wall(clock, "inner"), 3.0, 1e-12);  // marks: outer, inner, inner, outer
  EXPECT_NEAR(wall(clock, "outer"), 6.0, 1e-12);
  EXPECT_EQ(clock.times().at("inner").wall, clock.times().at("inner").wall);  // read once
  EXPECT_GT(CountedQueue::waits, 0);
}

}  // namespace
}  // namespace thalweg
