#include "pipelines/plan/method_count.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <set>
#include <stdexcept>
#include <utility>

namespace thalweg {
namespace {

struct Calls {
  int64_t with_gradient = 0, without = 0, of_rollout = 0;
  double rows_of_sample = 0.0;                        // the most in one call
  std::set<std::pair<int64_t, int64_t>> transitions;  // step and slot
};

// One parameter, latents of one number. The rollout ends where it is decoded: what runs without gradients
// after that belongs to the training.
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
            if (step.index >= 0)
              for (const int64_t slot : samples) calls_.transitions.insert({step.index, slot});
          } else {
            calls_.without += rows;
          }
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
    calls_.of_rollout = calls_.without;
    constexpr int64_t kSide = 8;
    return at::zeros({latents.size(0), 1, 3, kSide, kSide});
  }
  void save(const std::filesystem::path&, const TensorMap&, at::ScalarType) const override {}

 private:
  Calls& calls_;
  std::function<Schedule(int64_t)> schedule_;
  std::vector<ParameterSpec> specs_ = {{"weight", {1}}};
  TensorMap backbone_ = {{"weight", at::zeros({1})}};
};

// A number of its own for each sample: a method that compares them finds them different.
class CountingReward final : public Reward {
 public:
  CountingReward() {
    info_.name = "counting";
    info_.dimensions_K = {"number"};
    info_.required.frames = true;
  }
  const RewardInfo& info() const override { return info_; }
  Scored score(const ScoreInput& input) override {
    return {at::arange(input.frames_BF3HW.size(0), at::kFloat).unsqueeze(1), {}};
  }
  ScoreGradient gradient(const ScoreInput&, const at::Tensor&) override {
    throw std::logic_error("no gradient");
  }

 private:
  RewardInfo info_;
};

std::unique_ptr<RewardSet> counting_rewards() {
  RewardSpec spec;
  spec.plugin = "counting";
  spec.dimensions = {{"number", 1.0}};
  std::vector<RewardMember> members;
  members.push_back({spec, std::make_shared<CountingReward>()});
  return std::make_unique<RewardSet>(std::move(members));
}

// One group in one micro-batch: what a sample needs does not depend on how many groups there are.
TrainingOptions smallest(const TrainingOptions& options) {
  auto o = options;
  o.model.has_lora = false;
  o.model.dtype = "float32";
  o.parallel.workers = o.parallel.lanes = 1;
  return o;
}

}  // namespace

MethodCount count_method(const Method& method, const TrainingOptions& options, int64_t iteration,
                         const std::function<Schedule(int64_t)>& model_schedule) {
  auto o = smallest(options);
  const auto little = method.clone();
  little->groups() = {1, method.groups().group_size, 1};
  o.parallel.micro_batch = little->groups().samples();
  Calls calls;
  Observer observer;
  Workers workers(1);
  Training training(o, observer, workers,
                    {.model = std::make_unique<CountingModel>(calls, model_schedule),
                     .prompts = {{{""}, {"{}"}}, {{""}, {}}},
                     .unconditional = {{""}, {}},
                     .rewards = counting_rewards,
                     .pictures = {at::zeros({1, method.groups().group_size, 1, 1, 1, 1})}});
  const auto run = little->start(training);
  const auto metrics = run->iterate(iteration);
  const auto samples = static_cast<double>(little->groups().samples());
  const auto each = [&](int64_t rows) { return static_cast<double>(rows) / samples; };
  MethodCount count;
  count.forwards_of_rollout = each(calls.of_rollout);
  count.forwards_with_gradient = each(calls.with_gradient);
  count.forwards_without = each(calls.without - calls.of_rollout);
  // A trained transition keeps its latents and the next ones; every sample its clean latents. Transitions of
  // a tree that share a forward are more than the network sees.
  auto transitions = static_cast<double>(calls.transitions.size());
  for (const auto& [name, value] : metrics)
    if (name == "replayed_transitions") transitions = value;
  count.stored_latents = 1.0 + 2.0 * transitions / samples;
  count.rows_with_gradient = calls.rows_of_sample;
  for (const auto& role : training.roles.all())
    count.roles.push_back({role->name(), role->learns(), role->averaged()});
  return count;
}

}  // namespace thalweg
