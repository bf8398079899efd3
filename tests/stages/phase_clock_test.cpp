#include "pipelines/stages/phase_clock.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

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

}  // namespace
}  // namespace thalweg
