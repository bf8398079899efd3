// The extension thalweg.gradient/1, against finite differences of the scores.
#include <algorithm>
#include <cmath>
#include <memory>

#include "plugins/validator/clauses.h"
#include "plugins/validator/compare.h"

namespace thalweg::validator {
namespace {

constexpr double kStep = 0.02;  // of a finite difference, in the units of the input

/// An active instance with a gradient, and what is needed to ask for it.
struct Differentiated {
  explicit Differentiated(Subject& s) : subject(s), instance(s) {
    instance.activate();
    if (instance.gradient() == nullptr) throw Skip("the reward has no gradient");
    if (instance.group() != nullptr)
      throw Skip("it compares the samples of a group: its gradient is not asked for");
  }

  std::vector<uint64_t> inputs() {
    const auto* table = instance.gradient();
    const auto bits = subject.guarded("inputs", [&] { return table->inputs(&instance.table()); });
    std::vector<uint64_t> each;
    for (const uint64_t bit : {THALWEG_INPUT_FRAMES, THALWEG_INPUT_LATENTS})
      if (bits & bit) each.push_back(bit);
    return each;
  }
  size_t columns() { return instance.dimensions().size(); }
  std::vector<float> cotangent(int64_t batch, double phase) {
    std::vector<float> c(static_cast<size_t>(batch) * columns());
    for (size_t i = 0; i < c.size(); ++i)
      c[i] = static_cast<float>(std::cos(phase + 1.7 * static_cast<double>(i)));
    return c;
  }
  std::unique_ptr<Samples> samples() {
    return std::make_unique<Samples>(first_numbers(subject.options.batch), subject.inputs(), subject.shape(),
                                     subject.options);
  }

  Subject& subject;
  Instance instance;
};

void functions(Subject& s) {
  Differentiated d(s);
  const auto* table = d.instance.gradient();
  require(table->inputs != nullptr && table->vjp != nullptr, "it has functions that are NULL");
  require(table == d.instance.gradient(), "get_extension gave another table the second time");
}

void inputs(Subject& s) {
  Differentiated d(s);
  const auto* table = d.instance.gradient();
  const auto bits = s.guarded("inputs", [&] { return table->inputs(&d.instance.table()); });
  if (bits == 0) throw Skip("this configuration leaves nothing to differentiate");
  require((bits & ~(THALWEG_INPUT_FRAMES | THALWEG_INPUT_LATENTS)) == 0,
          "inputs names something else than frames and latents");
  require((bits & ~s.inputs()) == 0, "inputs names one that the descriptor does not declare");
}

void runs(Subject& s) {
  Differentiated d(s);
  for (const auto input : d.inputs()) {
    const auto samples = d.samples(), before = d.samples();
    const auto gradient = d.instance.vjp(*samples, input, d.cotangent(samples->batch(), 0.3));
    for (const float g : gradient)
      require(std::isfinite(g), is_unwritten(g) ? "part of the gradient was left unwritten"
                                                : "the gradient of an ordinary picture is not finite");
    const auto what = samples->changed(*before);
    require(what.empty(), "vjp changed " + what);
    const auto again = d.instance.vjp(*samples, input, d.cotangent(samples->batch(), 0.3));
    require(gradient == again || s.has_feature(THALWEG_FEATURE_NONDETERMINISTIC),
            "the same request gave another gradient the second time");
  }
}

/// sum over k of cotangent[b,k] values[b,k], with the input moved by `step` along `direction`.
std::vector<double> moved_objective(Differentiated& d, uint64_t input, const std::vector<float>& cotangent,
                                    const std::vector<float>& direction, double step) {
  const auto samples = d.samples();
  auto& x = samples->input(input).data;
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(x[i] + step * direction[i]);
  const auto values = d.instance.score(*samples);
  std::vector<double> sums(static_cast<size_t>(samples->batch()), 0.0);
  for (size_t i = 0; i < values.size(); ++i)
    sums[i / d.columns()] += static_cast<double>(cotangent[i]) * values[i];
  return sums;
}

/// Derivative along `direction`, to fourth order in the step.
std::vector<double> differences(Differentiated& d, uint64_t input, const std::vector<float>& cotangent,
                                const std::vector<float>& direction) {
  const auto at = [&](double step) { return moved_objective(d, input, cotangent, direction, step); };
  const auto near_up = at(kStep / 2), near_down = at(-kStep / 2), far_up = at(kStep), far_down = at(-kStep);
  std::vector<double> derivative(near_up.size());
  for (size_t b = 0; b < derivative.size(); ++b)
    derivative[b] = (8.0 * (near_up[b] - near_down[b]) - (far_up[b] - far_down[b])) / (6.0 * kStep);
  return derivative;
}

/// The gradient itself, scaled to at most 1 in each sample; then signs that look random.
std::vector<std::vector<float>> directions(const std::vector<float>& gradient, size_t row) {
  std::vector<float> along(gradient.size()), signs(gradient.size());
  for (size_t begin = 0; begin < gradient.size(); begin += row) {
    float most = 0;
    for (size_t i = begin; i < begin + row; ++i) most = std::max(most, std::abs(gradient[i]));
    for (size_t i = begin; i < begin + row; ++i) along[i] = most > 0 ? gradient[i] / most : 0.0F;
  }
  uint64_t state = 88172645463325252ULL;
  for (auto& sign : signs) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    sign = (state >> 40) & 1U ? 1.0F : -1.0F;
  }
  return {along, signs};
}

void finite_differences(Subject& s) {
  Differentiated d(s);
  if (s.has_feature(THALWEG_FEATURE_NONDETERMINISTIC))
    throw Skip("the reward says that it is nondeterministic");
  for (const auto input : d.inputs()) {
    const auto samples = d.samples();
    const auto cotangent = d.cotangent(samples->batch(), 0.3);
    const auto gradient = d.instance.vjp(*samples, input, cotangent);
    const size_t row = samples->input(input).row();
    for (const auto& direction : directions(gradient, row)) {
      const auto expected = differences(d, input, cotangent, direction);
      for (size_t b = 0; b < expected.size(); ++b) {
        double product = 0.0, size = 0.0;
        for (size_t i = b * row; i < (b + 1) * row; ++i) {
          product += static_cast<double>(gradient[i]) * direction[i];
          size += static_cast<double>(gradient[i]) * gradient[i];
        }
        // Random signs meet the gradient at about its length, so that is the measure where they cancel.
        const double most =
            s.options.gradient_tolerance * std::max(std::abs(expected[b]), std::sqrt(size)) + 1e-5;
        if (!std::isfinite(expected[b])) throw Skip("the scores are not finite");
        require(std::abs(product - expected[b]) <= most,
                "sample " + std::to_string(b) + ": the gradient says " + std::to_string(product) +
                    " along a direction in which the scores change by " + std::to_string(expected[b]));
      }
    }
  }
}

void linear(Subject& s) {
  Differentiated d(s);
  for (const auto input : d.inputs()) {
    const auto samples = d.samples();
    const auto c1 = d.cotangent(samples->batch(), 0.3), c2 = d.cotangent(samples->batch(), 1.1);
    auto sum = c1;
    for (size_t i = 0; i < sum.size(); ++i) sum[i] = 2.0F * c1[i] + c2[i];
    const auto g1 = d.instance.vjp(*samples, input, c1), g2 = d.instance.vjp(*samples, input, c2),
               g = d.instance.vjp(*samples, input, sum);
    float most = 0;
    for (const float value : g) most = std::max(most, std::abs(value));
    for (size_t i = 0; i < g.size(); ++i)
      require(std::abs(g[i] - (2.0F * g1[i] + g2[i])) <= 1e-3F * most + 1e-12F,
              "the gradient of 2 c + d is not twice that of c plus that of d");
  }
}

void zero_cotangent(Subject& s) {
  Differentiated d(s);
  for (const auto input : d.inputs()) {
    const auto samples = d.samples();
    const std::vector<float> zero(static_cast<size_t>(samples->batch()) * d.columns(), 0.0F);
    for (const float g : d.instance.vjp(*samples, input, zero))
      require(g == 0.0F, "the gradient for cotangents of 0 is not 0");
  }
}

void batch(Subject& s) {
  Differentiated d(s);
  for (const auto input : d.inputs()) {
    const auto samples = d.samples();
    const auto cotangent = d.cotangent(samples->batch(), 0.3);
    const auto together = d.instance.vjp(*samples, input, cotangent);
    const size_t row = samples->input(input).row(), last = static_cast<size_t>(samples->batch() - 1);
    Samples one({static_cast<int64_t>(last)}, s.inputs(), s.shape(), s.options);
    const auto alone =
        d.instance.vjp(one, input, {cotangent.end() - static_cast<int64_t>(d.columns()), cotangent.end()});
    float most = 0;
    for (const float value : alone) most = std::max(most, std::abs(value));
    for (size_t i = 0; i < row; ++i)
      require(std::abs(alone[i] - together[last * row + i]) <= 1e-3F * most + 1e-12F,
              "the gradient of a sample is another alone than in a batch");
  }
}

}  // namespace

const std::vector<Clause>& gradient_clauses() {
  static const std::vector<Clause> all = {
      {"gradient.functions", "ext/gradient.h", "has all functions of the extension", "score.runs", functions},
      {"gradient.inputs", "ext/gradient.h", "differentiates inputs that it declares", "gradient.functions",
       inputs},
      {"gradient.runs", "ext/gradient.h", "gives ordinary pictures a finite gradient, the same each time",
       "gradient.inputs", runs},
      {"gradient.finite-differences", "ext/gradient.h", "agrees with the scores' differences",
       "score.determinism", finite_differences},
      {"gradient.linear", "ext/gradient.h", "is linear in the cotangent", "gradient.runs", linear},
      {"gradient.zero-cotangent", "ext/gradient.h", "is 0 where the cotangent is", "gradient.runs",
       zero_cotangent},
      {"gradient.batch", "ext/gradient.h", "is the same for a sample alone and in a batch", "gradient.runs",
       batch}};
  return all;
}

}  // namespace thalweg::validator
