#include "pipelines/methods/direct.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <utility>

#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/core/rng.h"
#include "engine/optim/gradients.h"
#include "pipelines/stages/reward_failures.h"
#include "pipelines/steering/reward_value.h"
#include "samplers/flow_algebra.h"
#include "samplers/reward_gradient.h"

namespace thalweg {
namespace {

constexpr uint64_t kDrawn = uint64_t{1} << 20;  // slots below are those of windows and of parts of the steps

// The rewards' slopes at the ends of one micro-batch.
class Slopes {
 public:
  Slopes(const Training& t, const MicroBatch& batch, PhaseClock& clock)
      : conditioning_(batch.conditioning),
        reward_(reward_value({.model = *t.model,
                              .rewards = *t.rewards,
                              .use = RewardUse::train,
                              .seed = t.seed(),
                              .num_steps = t.schedule.steps(),
                              .micro_batch = t.options.parallel.micro_batch,
                              .cost = cost_,
                              .clock = clock,
                              .failures = failures_,
                              .times_scored = times_scored_})) {
    conditioning_.metadata_json.clear();
    for (const auto& row : batch.rows)
      conditioning_.metadata_json.push_back(t.prompts.list.metadata_json[static_cast<size_t>(row.prompt)]);
  }

  Slope at(const Way& way) {
    const c10::AutoGradMode with_gradients(true);
    const auto end = way.end.detach().requires_grad_();
    const auto value_B = reward_(end, finished_step(way.steps.back()), conditioning_);
    const auto [slope, here_B] = slope_of_reward(value_B, end);
    const auto used_B = here_B.cpu();
    used_B_ = used_B_.defined() ? used_B_.logical_and(used_B) : used_B;
    return {value_B.detach(), slope};
  }

  const at::Tensor& used_B() const { return used_B_; }  // at all ends so far
  std::vector<RewardFailure> take_failures() const { return failures_->take(); }

 private:
  Conditioning conditioning_;
  SteeringCost cost_;
  std::shared_ptr<FailureSink> failures_ = std::make_shared<FailureSink>();
  std::map<int64_t, int64_t> times_scored_;
  const RewardValue reward_;
  at::Tensor used_B_;
};

// Samples that were scored and have no slope; those that were not scored are told of already.
void note_lost(Training& t, const at::Tensor& scored_B, const at::Tensor& used_B,
               const std::vector<RewardFailure>& failures, Metrics& metrics) {
  const auto lost = scored_B.logical_and(used_B.logical_not()).sum().item<int64_t>();
  metrics.emplace_back("samples_without_slope", static_cast<double>(lost));
  const auto reasons = failure_reasons(failures);
  if (lost > 0) {
    auto event = lost_gradients_event(lost, used_B.numel(), failures);
    t.observer.message(event.message);
    t.events.add(std::move(event));
  }
  if (!used_B.any().item<bool>())
    throw Error("/rewards", "not one sample of the rollout has a gradient of its reward" + reasons);
}

double mean_norm(const Followed& followed) {
  double sum = 0.0, count = 0.0;
  int64_t row = 0;
  for (size_t i = 0; i < followed.batches.size(); ++i) {
    const auto rows = static_cast<int64_t>(followed.batches[i].rows.size());
    const auto used_B = followed.used_B.slice(0, row, row + rows).to(at::kDouble);
    for (const auto& slope : followed.ends[i].slopes) {
      sum +=
          (slope.slope_BCFHW.flatten(1).norm(2, 1).to(at::kCPU, at::kDouble) * used_B).sum().item<double>();
      count += used_B.sum().item<double>();
    }
    row += rows;
  }
  return sum / count;
}

}  // namespace

GroupPlan one_each(int64_t prompts) {
  return {.groups = prompts, .group_size = 1, .updates = 1};
}

void require_steps(const SamplerSection& s, const std::string& name) {
  if (!s.kind->kernel())
    throw Error("/sampler/name",
                name + " differentiates the sampler step by step, and \"" + s.kind.name() +
                    "\" is not made of one-step transitions: take flow_ode, or one with noise");
  if (s.tail_ratio < 1.0)
    throw Error("/sampler/tail_ratio", name + " takes every step of the schedule: leave it at 1");
}

void require_even_end(const Schedule& schedule) {
  require_last_step(schedule, 0.1 / static_cast<double>(schedule.steps()));
}

double drawn_uniform(const Training& t, int64_t iteration) {
  return random_uniform(t.seed(), Purpose::window, kDrawn, static_cast<uint64_t>(iteration));
}

double drawn_normal(const Training& t, int64_t iteration, int64_t draw) {
  return normal_noise(t.seed(), Purpose::window, {static_cast<int64_t>(kDrawn) + draw},
                      static_cast<uint64_t>(iteration), {1}, at::kDouble)
      .item<double>();
}

Followed follow(Training& t, int64_t iteration, const GroupPlan& plan, const Following& following,
                Metrics& metrics) {
  Followed followed;
  followed.batches = draw_groups(t, iteration, plan, following.velocity, [&](const SamplerInput& in) {
    return walk(in, following.kernel, following.first, following.end);
  });
  const auto& batches = followed.batches;
  const auto scores = score(t, batches, metrics);
  require_totals(scores);
  followed.ends.resize(batches.size());
  std::vector<at::Tensor> used(batches.size());
  std::vector<std::vector<RewardFailure>> failures(batches.size());
  t.workers.for_each(static_cast<int64_t>(batches.size()), [&](int64_t k) {
    if (t.observer.stop_requested()) throw Stopped{};
    const c10::NoGradGuard no_grad;
    PhaseClock::Scope scope(t.clock, "train");
    const auto i = static_cast<size_t>(k);
    auto& ends = followed.ends[i];
    ends.ways = {way_of(batches[i].trajectory, following.kernel, batches[i].slot_B())};
    if (following.further)
      for (auto& way : following.further(batches[i])) ends.ways.push_back(std::move(way));
    Slopes slopes(t, batches[i], t.clock);
    for (const auto& way : ends.ways) ends.slopes.push_back(slopes.at(way));
    used[i] = slopes.used_B();
    failures[i] = slopes.take_failures();
    const auto used_B = on_device(used[i], t.device());
    for (auto& way : ends.ways)
      for (auto& x : way.x) x = used_rows(x, used_B);
  });
  followed.used_B = scores.total.valid_B.logical_and(at::cat(used));
  std::vector<RewardFailure> all;
  for (const auto& each : failures) add_failures(all, each);
  note_lost(t, scores.total.valid_B, followed.used_B, all, metrics);
  metrics.emplace_back("slope_norm", mean_norm(followed));
  return followed;
}

const Ends& ends_of(const Followed& followed, const Share& share) {
  return followed.ends[static_cast<size_t>(&share.batch - followed.batches.data())];
}

void train_along(Training& t, const Followed& followed, const GroupPlan& plan,
                 const std::function<ValueLoss(const at::Tensor&)>& loss,
                 const std::function<Velocity()>& velocity, int64_t iteration, Metrics& metrics) {
  for (int64_t i = 0; i < plan.updates; ++i) {
    const auto update = update_of(followed.batches, plan, i, followed.used_B);
    auto [gradients, records] = update_gradients(t, update, 1, [&](const Share& share, StepRecord& record) {
      const auto& [ways, slopes] = ends_of(followed, share);
      const auto used_B = share.rows(update.used_B);
      const auto weight_B = used_B.to(at::kDouble) / (update.used * static_cast<double>(ways.size()));
      Gradients sums(1);
      for (size_t w = 0; w < ways.size(); ++w) {
        const auto [loss_B, derivative_B] = loss(slopes[w].value_B);
        record.add({{"policy_loss", at::where(used_B, loss_B * weight_B, 0.0).sum()}});
        const auto factor_B = on_device(at::where(used_B, derivative_B * weight_B, 0.0), t.device());
        const auto& slope = slopes[w].slope_BCFHW;
        accumulate(sums[0], way_gradients(velocity(), ways[w], share.batch.conditioning,
                                          slope * per_sample(factor_B, slope), t.policy.parameters()));
      }
      return sums;
    });
    apply(t, t.policy, std::move(gradients[0]), iteration, metrics);
    add_measured(records, plan.updates, metrics);
  }
}

}  // namespace thalweg
