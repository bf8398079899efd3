#include "pipelines/plan/method_count.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <set>
#include <utility>

namespace thalweg {
namespace {

struct Calls {
  int64_t with_gradient = 0, without = 0, of_rollout = 0, most_rows = 0;
  std::set<int64_t> trained_steps;
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
            calls_.most_rows = std::max(calls_.most_rows, rows);
            if (step.index >= 0) calls_.trained_steps.insert(step.index);
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

TrainingOptions smallest(const TrainingOptions& options, int64_t micro_batch) {
  auto o = options;
  o.model.has_lora = false;
  o.model.dtype = "float32";
  o.parallel.workers = o.parallel.lanes = 1;
  o.parallel.micro_batch = micro_batch;
  return o;
}

struct Rehearsed {
  Calls calls;
  std::vector<RoleCount> roles;
};

// `plan`'s groups, an update's in one micro-batch.
Rehearsed rehearse(const Method& method, const TrainingOptions& options, int64_t iteration,
                   const std::function<Schedule(int64_t)>& model_schedule, int64_t group_size,
                   int64_t updates) {
  const auto o = smallest(options, group_size);
  const auto little = method.clone();
  auto& plan = little->groups();
  plan.groups = plan.updates = updates;
  plan.group_size = group_size;
  Rehearsed result;
  Observer observer;
  Workers workers(1);
  Training training(o, observer, workers,
                    {.model = std::make_unique<CountingModel>(result.calls, model_schedule),
                     .prompts = {{{""}, {"{}"}}, {{""}, {}}},
                     .unconditional = {{""}, {}},
                     .rewards = [] { return std::make_unique<RewardSet>(std::vector<RewardMember>{}); }});
  const auto run = little->start(training);
  run->iterate(iteration);
  for (const auto& role : training.roles.all())
    result.roles.push_back({role->name(), role->learns(), role->averaged()});
  return result;
}

}  // namespace

MethodCount count_method(const Method& method, const TrainingOptions& options, int64_t iteration,
                         const std::function<Schedule(int64_t)>& model_schedule) {
  // The job's own updates and group size, since forwards of a sample may depend on both: the first update
  // needs none that later ones do, and of a group some may be trained alone. Of very many, fewer.
  constexpr int64_t kEnough = 65536;
  const auto& plan = method.groups();
  const int64_t updates = std::clamp<int64_t>(kEnough / plan.group_size, 1, plan.updates);
  const auto all = rehearse(method, options, iteration, model_schedule, plan.group_size, updates).calls;
  const auto samples = static_cast<double>(plan.group_size * updates);
  MethodCount count;
  count.forwards_with_gradient = static_cast<double>(all.with_gradient) / samples;
  count.forwards_without = static_cast<double>(all.without - all.of_rollout) / samples;
  // Memory is of one micro-batch: a group of two, whole.
  constexpr int64_t kPair = 2;
  const auto [calls, roles] = rehearse(method, options, iteration, model_schedule, kPair, 1);
  // A trained step keeps its latents and the next ones; every sample its clean latents.
  count.stored_latents = 1.0 + 2.0 * static_cast<double>(calls.trained_steps.size());
  count.rows_with_gradient = static_cast<double>(calls.most_rows) / static_cast<double>(kPair);
  count.roles = roles;
  return count;
}

}  // namespace thalweg
