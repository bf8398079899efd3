// Where windows lie in the iterations of training, and the shorter tail after them.
#include "samplers/window.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>

#include "pipelines/sampler_section.h"
#include "samplers/flash.h"
#include "samplers/kernels/flow_sde.h"
#include "tests/samplers/laboratory.h"

namespace thalweg {
namespace {

std::vector<int64_t> begins(const WindowPath& path, int64_t iterations) {
  std::vector<int64_t> list;
  for (int64_t i = 0; i < iterations; ++i) {
    const auto window = progressive_window(path, i);
    EXPECT_EQ(window.end - window.begin, path.size);
    list.push_back(window.begin);
  }
  return list;
}

TEST(Window, ProgressesAndBeginsAnew) {
  const WindowPath path{.first = 1, .size = 3, .steps = 6, .stay = 2};
  EXPECT_EQ(begins(path, 9), (std::vector<int64_t>{1, 1, 2, 2, 3, 3, 1, 1, 2}));
  WindowPath wide = path;
  wide.stride = 2;
  EXPECT_EQ(begins(wide, 5), (std::vector<int64_t>{1, 1, 3, 3, 1}));
}

TEST(Window, StaysLessAtLatePlacesWhenItDecays) {
  const WindowPath path{.first = 0, .size = 2, .steps = 6, .stay = 4, .decay = 0.7, .decay_from = 1};
  // 4, 4, 4 e^-.7 = 1.99, 4 e^-1.4 = .99, and never less than one.
  EXPECT_EQ(begins(path, 13), (std::vector<int64_t>{0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 4, 0}));
}

TEST(Window, OfTheWholeScheduleStandsStill) {
  EXPECT_EQ(begins({.first = 0, .size = 6, .steps = 6, .stay = 1}, 3), (std::vector<int64_t>{0, 0, 0}));
}

TEST(Flash, ShortensTheTailAlone) {
  const auto schedule = uniform_schedule(10);
  const auto shorter = with_shorter_tail(schedule, 4, 0.5);
  ASSERT_EQ(shorter.steps(), 7);
  for (size_t i = 0; i <= 4; ++i) EXPECT_EQ(shorter.sigmas[i], schedule.sigmas[i]);
  EXPECT_NEAR(shorter.sigmas[5], 0.4, 1e-12);
  EXPECT_NEAR(shorter.sigmas[6], 0.2, 1e-12);
  EXPECT_EQ(shorter.sigmas[7], 0.0);
  EXPECT_EQ(with_shorter_tail(schedule, 9, 0.01).steps(), 10);               // one step at least
  EXPECT_NEAR(with_shorter_tail(schedule, 4, 0.67).sigmas[5], 0.45, 1e-12);  // between two levels
  EXPECT_EQ(with_shorter_tail(schedule, 10, 0.5).sigmas, schedule.sigmas);
}

TEST(Flash, KeepsTrainedStepsAndComesCloserThanEulerWithAsManySteps) {
  const auto in = laboratory_input(reference_mixture(), uniform_schedule(20), 4000, 5);
  const StepWindow window{0, 4};
  const auto kernel = flow_sde(0.7);
  const auto whole = sample_transitions(in, windowed(kernel, window), {0, 2});
  const auto fast = sample_with_shorter_tail(in, windowed(kernel, window), window.end, 0.4, {0, 2});
  for (size_t k = 0; k < 2; ++k) {
    EXPECT_TRUE(at::equal(fast.latents[k], whole.latents[k]));
    EXPECT_TRUE(at::equal(fast.next_latents[k], whole.next_latents[k]));
  }
  EXPECT_TRUE(at::equal(fast.log_probs_TB, whole.log_probs_TB));
  EXPECT_EQ(fast.schedule.sigmas, in.schedule.sigmas);
  // The same head, then Euler in as few steps, and in 400: the truth.
  const auto ended = [&](int64_t steps) {
    auto tail = in;
    tail.schedule = with_shorter_tail(in.schedule, 4, static_cast<double>(steps) / 16.0);
    return sample_transitions(tail, windowed(kernel, window)).x0_BCFHW;
  };
  auto fine = in;
  fine.schedule.sigmas.resize(5);
  for (int64_t m = 1; m <= 400; ++m)
    fine.schedule.sigmas.push_back(0.8 * (1.0 - static_cast<double>(m) / 400.0));
  const auto truth = sample_transitions(fine, windowed(kernel, window)).x0_BCFHW;
  const auto error = [&](const at::Tensor& x) { return (x - truth).abs().mean().item<double>(); };
  EXPECT_LT(error(fast.x0_BCFHW), 0.7 * error(ended(6)));
}

// Coefficients as MixGRPO's own code has them: multistep, order 2, "midpoint".
TEST(Flash, TheTailIsTheMidpointForm) {
  const auto in = laboratory_input(reference_mixture(), uniform_schedule(10), 50, 6);
  const auto head = sample_transitions(
      [&] {
        auto cut = in;
        cut.schedule.sigmas.resize(5);
        return cut;
      }(),
      flow_sde(0.7));
  const auto tail = with_shorter_tail(in.schedule, 4, 0.5).sigmas;
  auto x = head.x0_BCFHW;
  at::Tensor last;
  for (size_t i = 4; i + 1 < tail.size(); ++i) {
    const double s = tail[i], t = tail[i + 1];
    Step step = step_at(Schedule{tail}, static_cast<int64_t>(i), in.slot_B);
    const auto clean = x - s * in.velocity(x, step, in.conditioning);
    const auto lambda = [](double sigma) { return std::log(1.0 - sigma) - std::log(sigma); };
    const double h = lambda(t) - lambda(s);
    auto next = t / s * x - (1.0 - t) * (std::exp(-h) - 1.0) * clean;
    if (last.defined() && t > 0.0) {
      const double ratio = (lambda(s) - lambda(tail[i - 1])) / h;
      next = next - 0.5 * (1.0 - t) * (std::exp(-h) - 1.0) / ratio * (clean - last);
    }
    last = clean;
    x = next;
  }
  const auto fast = sample_with_shorter_tail(in, windowed(flow_sde(0.7), {0, 4}), 4, 0.5);
  EXPECT_TRUE(at::allclose(fast.x0_BCFHW, x, 0.0, 1e-12));
}

TEST(StepWindow, ReachesToTheEndWhereItsSizeIsNull) {
  const auto open = StepWindow::of(3, 0), two = StepWindow::of(3, 2);
  for (const int64_t i : {0, 2}) EXPECT_FALSE(open.contains(i) || two.contains(i));
  for (const int64_t i : {3, 4}) EXPECT_TRUE(open.contains(i) && two.contains(i));
  for (const int64_t i : {5, 999}) EXPECT_TRUE(open.contains(i) && !two.contains(i));
}

TEST(StepWindow, RandomStartsCoverTheRangeAndRepeat) {
  SamplerSection sampler;
  sampler.steps = 10;
  sampler.window_size = 3;
  sampler.window_begin = 1;
  sampler.window_policy = "random";
  std::set<int64_t> starts;
  for (int64_t iteration = 0; iteration < 200; ++iteration) {
    const auto window = step_window(sampler, 5, iteration);
    EXPECT_EQ(window.end - window.begin, 3);
    EXPECT_EQ(step_window(sampler, 5, iteration).begin, window.begin);
    starts.insert(window.begin);
  }
  EXPECT_EQ(starts, (std::set<int64_t>{1, 2, 3, 4, 5, 6, 7}));
  sampler.window_policy = "fixed";
  EXPECT_EQ(step_window(sampler, 5, 9).begin, 1);
  sampler.window_size = 0;
  for (const auto* policy : {"fixed", "random", "progressive", "decay"}) {  // to the end: one place
    sampler.window_policy = policy;
    EXPECT_EQ(step_window(sampler, 5, 9).begin, 1) << policy;
    EXPECT_EQ(step_window(sampler, 5, 9).end, 10) << policy;
  }
}

}  // namespace
}  // namespace thalweg
