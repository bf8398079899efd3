// ReFL, reward feedback learning (ImageReward, Xu et al. 2023, arXiv 2304.05977, algorithm 1): the sampler
// walks without gradient to a random late step; from there one step goes to the clean estimate, whose reward
// is differentiated through that step: weight mean phi(r), phi = relu(margin - r), or -r. The paper's second
// loss, of its pretraining data, is not here.
//
// All samples of an iteration stop at one step, as the authors' batches do; what is scored is the estimate.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "pipelines/methods/direct.h"

namespace thalweg {
namespace {

struct Options {
  GroupPlan groups = one_each(32);
  double first_share = 0.75, last_share = 1.0;  // of the steps
  std::string loss = "hinge";
  double margin = 2.0, weight = 1e-3;
};

// Steps [begin, end) of which one is differentiated.
struct Range {
  int64_t begin, end;
};

Range range_of(const Options& o, int64_t steps) {
  const auto n = static_cast<double>(steps);
  return {static_cast<int64_t>(std::floor(o.first_share * n)),
          std::min(steps, static_cast<int64_t>(std::ceil(o.last_share * n)))};
}

ValueLoss loss_of(const Options& o, const at::Tensor& value_B) {
  if (o.loss == "linear") return {-o.weight * value_B, at::full_like(value_B, -o.weight)};
  const auto short_B = o.margin - value_B;
  return {o.weight * short_B.relu(), -o.weight * (short_B > 0.0).to(value_B.scalar_type())};
}

class ReflRun final : public MethodRun {
 public:
  ReflRun(const Options& options, Training& training) : o_(options), t_(training) {
    if (range_of(o_, training.schedule.steps()).end == training.schedule.steps())
      require_even_end(training.schedule);
  }

  Metrics iterate(int64_t iteration) override {
    Metrics metrics;
    const auto [begin, end] = range_of(o_, t_.schedule.steps());
    const auto last =
        begin + static_cast<int64_t>(drawn_uniform(t_, iteration) * static_cast<double>(end - begin));
    const auto& sampler = t_.options.sampler;
    const Kernel kernel = [last, draws = kernel_of(sampler, step_window(sampler, t_.seed(), iteration))](
                              const Schedule& schedule, int64_t index) {
      return index == last ? landing(schedule, index) : draws(schedule, index);
    };
    const auto policy = [this] { return t_.guided(t_.policy.velocity()); };
    const auto followed =
        follow(t_, iteration, o_.groups,
               {.velocity = policy(), .kernel = kernel, .first = last, .end = last + 1}, metrics);
    train_along(
        t_, followed, o_.groups, [this](const at::Tensor& value_B) { return loss_of(o_, value_B); }, policy,
        iteration, metrics);
    metrics.emplace_back("differentiated_step", static_cast<double>(last));
    return metrics;
  }

  double stored_latents() const override { return 3.0; }  // a state, its clean estimate, the slope there

 private:
  const Options o_;
  Training& t_;
};

class Refl final : public MethodOf<Refl, ReflRun, Options> {
 public:
  void describe(Fields& f) override {
    describe_given(f, o_.groups);
    f.number({"first_share", "share of the steps before the first that may be differentiated"},
             o_.first_share, 0.0, 0.999);
    f.number({"last_share", "share of the steps after which none is"}, o_.last_share, 1e-3, 1.0);
    f.object({"loss", "of the reward r"}, [this](Fields& l) {
      l.variant({"name", "loss"}, o_.loss,
                {{"hinge", "max(margin - r, 0): samples above the margin teach nothing",
                  [this](Fields& h) {
                    h.number({"margin", "reward that is enough"}, o_.margin, -1e6, 1e6);
                  }},
                 {"linear", "-r", [](Fields&) {}}});
      l.number({"weight", "factor of the loss"}, o_.weight, 1e-9, 1e6);
    });
  }

  void check(const TrainingOptions& options) const override {
    check_groups(o_.groups);
    require_steps(options.sampler, "refl");
    if (const auto [begin, end] = range_of(o_, options.sampler.steps); begin >= end)
      throw Error("/method/last_share",
                  "leaves no step to differentiate: it must be above /method/first_share");
  }

  bool follows_gradients() const override { return true; }
  bool varies() const override { return true; }
};

}  // namespace

std::unique_ptr<Method> make_refl() {
  return std::make_unique<Refl>();
}

}  // namespace thalweg
