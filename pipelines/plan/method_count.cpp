#include "pipelines/plan/method_count.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

#include "pipelines/stages/phase_clock.h"

namespace thalweg {
namespace {

struct Calls {
  int64_t with_gradient = 0, without = 0, of_rollout = 0;
  int64_t backwards = 0, backwards_of_one = 0;  // of all forwards with gradient, and the most of one
  int64_t latent_backwards = 0, reward_gradients = 0;
  bool scored = false;          // the samples of a rollout
  double rows_of_sample = 0.0;  // the most in one call
  std::set<int64_t> trained_steps;
};

// One parameter, latents of one number.
class CountingModel final : public FlowModel {
 public:
  CountingModel(Calls& calls, std::function<Schedule(int64_t)> schedule)
      : calls_(calls), schedule_(std::move(schedule)) {}

  LatentShape latent_shape(int64_t, int64_t, int64_t) const override { return {1, 1, 1, 1}; }
  Conditioning encode(const std::vector<std::string>& prompts) const override { return {prompts, {}}; }
  Schedule schedule(int64_t steps, int64_t, int64_t) const override { return schedule_(steps); }
  Velocity bind(const TensorMap& parameters, const Adapter*) const override {
    return
        [this, weight = parameters.at("weight")](const at::Tensor& x, const Step& step, const Conditioning&) {
          const int64_t rows = x.size(0);
          if (c10::GradMode::is_enabled() && weight.requires_grad()) {
            calls_.with_gradient += rows;
            const std::set<int64_t> samples(step.slot_B.begin(), step.slot_B.end());
            const auto count = static_cast<double>(std::max<size_t>(samples.size(), 1));
            calls_.rows_of_sample = std::max(calls_.rows_of_sample, static_cast<double>(rows) / count);
            if (step.index >= 0) calls_.trained_steps.insert(step.index);
            return watched(weight.expand_as(x));
          }
          if (c10::GradMode::is_enabled() && x.requires_grad()) calls_.latent_backwards += rows;
          (PhaseClock::current() == "rollout" ? calls_.of_rollout : calls_.without) += rows;
          return weight.expand_as(x);
        };
  }
  const std::vector<ParameterSpec>& specs() const override { return specs_; }
  const TensorMap& backbone() const override { return backbone_; }
  TensorMap master_backbone() const override { return {{"weight", at::zeros({1})}}; }
  std::vector<std::string> default_lora_targets() const override { return {}; }
  std::string architecture() const override { return ""; }
  std::vector<std::filesystem::path> backbone_files() const override { return {}; }
  LoraNames lora_names() const override { return {}; }
  at::Tensor decode(const at::Tensor& latents) const override {
    constexpr int64_t kSide = 8;
    return 0.0 * latents.view({-1, 1, 1, 1, 1}).expand({-1, 1, 3, kSide, kSide});
  }
  void save(const std::filesystem::path&, const TensorMap&, at::ScalarType) const override {}

 private:
  // Counts the backward passes through it.
  at::Tensor watched(const at::Tensor& v) const {
    v.register_hook([this, rows = v.size(0), of_this = std::make_shared<int64_t>(0)](const at::Tensor&) {
      calls_.backwards += rows;
      calls_.backwards_of_one = std::max(calls_.backwards_of_one, ++*of_this);
    });
    return v;
  }

  Calls& calls_;
  std::function<Schedule(int64_t)> schedule_;
  std::vector<ParameterSpec> specs_ = {{"weight", {1}}};
  TensorMap backbone_ = {{"weight", at::zeros({1})}};
};

// A number of its own for each sample: a method that compares them finds them different. Of latents, whose
// gradient is 0.
class CountingReward final : public Reward {
 public:
  CountingReward(Calls& calls, std::vector<std::string> dimensions_K) : calls_(calls) {
    info_.name = "counting";
    info_.dimensions_K = std::move(dimensions_K);
    info_.required.latents = true;
    info_.gradient_of = GradientOf::latents;
  }
  const RewardInfo& info() const override { return info_; }
  Scored score(const ScoreInput& input) override {
    calls_.scored = calls_.scored || input.occasion.phase == ScorePhase::rollout;
    const auto K = static_cast<int64_t>(info_.dimensions_K.size());
    return {at::arange(input.batch(), at::kFloat).unsqueeze(1).repeat({1, K}), {}};
  }
  ScoreGradient gradient(const ScoreInput& input, const at::Tensor&) override {
    calls_.reward_gradients += input.batch();
    return {{}, at::zeros_like(input.latents_BCFHW, at::kFloat), {}};
  }

 private:
  Calls& calls_;
  RewardInfo info_;
};

std::unique_ptr<RewardSet> counting_rewards(Calls& calls, int64_t count) {
  RewardSpec spec;
  spec.plugin = "counting";
  std::vector<std::string> names;
  for (int64_t k = 0; k < count; ++k) {
    names.push_back("number" + std::to_string(k));
    spec.dimensions.emplace_back(names.back(), 1.0);
  }
  std::vector<RewardMember> members;
  members.push_back({spec, std::make_shared<CountingReward>(calls, std::move(names))});
  return std::make_unique<RewardSet>(std::move(members));
}

TrainingOptions smallest(const TrainingOptions& options, int64_t micro_batch) {
  auto o = options;
  o.model.has_lora = false;
  o.model.dtype = "float32";
  o.parallel.workers = o.parallel.lanes = 1;
  o.parallel.micro_batch = micro_batch;
  return o;
}

constexpr int64_t kAveraged = 100;  // updates

struct Rehearsed {
  Calls calls;
  double backwards_of_forward = 1.0;
  std::vector<RoleCount> roles;
  Metrics metrics;
  double stored_latents = 0.0;  // as the run says; 0: it does not
};

// An iteration of as many groups as updates, each one micro-batch.
Rehearsed rehearse(const Method& method, const TrainingOptions& options, int64_t iteration,
                   const std::function<Schedule(int64_t)>& model_schedule, int64_t rewards, int64_t updates) {
  const int64_t group_size = method.groups().group_size;
  const auto o = smallest(options, group_size);
  const auto little = method.clone();
  auto& plan = little->groups();
  plan.groups = plan.updates = updates;
  Rehearsed result;
  Observer observer;
  Workers workers(1);
  Training training(o, observer, workers,
                    {.model = std::make_unique<CountingModel>(result.calls, model_schedule),
                     .prompts = {{{""}, {"{}"}}, {{""}, {}}},
                     .unconditional = {{""}, {}},
                     .rewards = [&] { return counting_rewards(result.calls, rewards); },
                     .pictures = {at::zeros({1, group_size, 1, 1, 1, 1})}});
  const auto run = little->start(training);
  result.metrics = run->iterate(iteration);
  const auto first = result.calls;
  // Where a forward has several backward passes, not all updates do: an average.
  for (int64_t i = 1; result.calls.backwards_of_one > 1 && i * updates < kAveraged; ++i)
    run->iterate(iteration + i);
  result.backwards_of_forward = static_cast<double>(result.calls.backwards) /
                                static_cast<double>(std::max<int64_t>(result.calls.with_gradient, 1));
  result.calls = first;
  result.stored_latents = run->stored_latents();
  for (const auto& role : training.roles.all())
    if (role->parameters().count("weight"))  // no small head beside the network
      result.roles.push_back({role->name(), role->learns(), role->averaged()});
  return result;
}

}  // namespace

MethodCount count_method(const Method& method, const TrainingOptions& options, int64_t iteration,
                         const std::function<Schedule(int64_t)>& model_schedule, int64_t rewards) {
  // The job's own updates and group size, since forwards of a sample may depend on both: the first update
  // needs none that later ones do, and of a group some may be trained alone. Of very many, fewer.
  constexpr int64_t kEnough = 65536;
  const auto& plan = method.groups();
  const int64_t updates = std::clamp<int64_t>(kEnough / plan.group_size, 1, plan.updates);
  const auto [calls, backwards_of_forward, roles, metrics, stored] =
      rehearse(method, options, iteration, model_schedule, rewards, updates);
  const auto samples = static_cast<double>(plan.group_size * updates);
  const auto each = [&](int64_t rows) { return static_cast<double>(rows) / samples; };
  MethodCount count;
  count.forwards_of_rollout = each(calls.of_rollout);
  count.forwards_with_gradient = each(calls.with_gradient);
  count.forwards_without = each(calls.without);
  count.backwards = count.forwards_with_gradient * backwards_of_forward;
  if (method.follows_gradients()) {  // those of guidance are the rollout's
    count.latent_backwards = each(calls.latent_backwards);
    count.reward_gradients = each(calls.reward_gradients);
  }
  count.gradients = std::max<int64_t>(calls.backwards_of_one, 1);
  count.decoded = calls.scored;
  // A stored transition is its latents and the next ones; every sample has its clean latents. A rollout
  // stores a trained step of every sample; a tree says how many of its transitions it keeps.
  auto transitions = static_cast<double>(calls.trained_steps.size());
  for (const auto& [name, value] : metrics)
    if (name == "replayed_transitions") transitions = value / samples;
  count.stored_latents = stored > 0.0 ? stored : 1.0 + 2.0 * transitions;
  count.rows_with_gradient = calls.rows_of_sample;
  count.roles = roles;
  return count;
}

}  // namespace thalweg
