#include "pipelines/training/updates.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "engine/core/device.h"
#include "engine/core/error.h"

namespace thalweg {
namespace {

[[noreturn]] void give_up(Training& t, const Role& role, const Role::Step& step) {
  const auto text = std::to_string(step.skipped_in_a_row) + " updates in a row of the " + role.name() +
                    " were skipped, since their gradient was not finite: lower /optimizer/learning_rate, set "
                    "/model/dtype to float32, or bound the rewards by /rewards/N/transform; with a larger "
                    "value here the run goes on from its last checkpoint";
  t.events.add({"error",
                "updates_given_up",
                text,
                {{"role", role.name()}, {"skipped_in_a_row", step.skipped_in_a_row}}});
  throw Error("/optimizer/max_skipped", text);
}

}  // namespace

Update update_of(const std::vector<MicroBatch>& batches, const GroupPlan& plan, int64_t update,
                 const at::Tensor& used_B) {
  Update result{.index = update, .shares = {}, .used = 0.0, .used_B = used_B};
  int64_t row = 0;
  for (const auto& batch : batches) {
    const auto end = row + static_cast<int64_t>(batch.rows.size());
    const int64_t group = batch.rows.front().group;
    if (group >= plan.begin(update) && group < plan.begin(update + 1)) {
      result.shares.push_back({batch, row, end});
      result.used += result.shares.back().rows(used_B).sum().item<double>();
    }
    row = end;
  }
  if (result.used == 0.0) result.shares.clear();
  return result;
}

std::vector<int64_t> trained_steps(StepWindow window, int64_t steps) {
  std::vector<int64_t> trained;
  for (int64_t i = window.begin; i < std::min(window.end, steps - 1); ++i) trained.push_back(i);
  return trained;
}

at::Tensor used_rows(const at::Tensor& latents_BCFHW, const at::Tensor& used_B) {
  return at::where(used_B.view({-1, 1, 1, 1, 1}), latents_BCFHW, 0.0);
}

at::Tensor rows_of_steps(const std::vector<at::Tensor>& of_steps, const at::Tensor& k_B) {
  const auto all = at::stack(of_steps);  // [K,B,C,F,H,W]
  const auto index = on_device(k_B, all.device()).view({1, -1, 1, 1, 1, 1});
  return all.gather(0, index.expand_as(all.slice(0, 0, 1))).squeeze(0);
}

void StepRecord::add(const std::vector<Measured>& numbers) {
  c10::NoGradGuard no_grad;
  std::vector<at::Tensor> values;
  for (const auto& [name, value, largest] : numbers) {
    if (rows_.empty()) names_.push_back(name);
    if (largest) largest_.insert(name);
    values.push_back(value.to(at::kDouble));
  }
  TORCH_CHECK(values.size() == names_.size(), "every step measures the same");
  rows_.push_back(at::stack(values));
}

std::pair<Metrics, std::set<std::string>> StepRecord::read() const {
  Metrics numbers;
  if (rows_.empty()) return {numbers, largest_};
  const auto all = at::stack(rows_).cpu();
  for (int64_t step = 0; step < all.size(0); ++step)
    for (size_t i = 0; i < names_.size(); ++i) {
      const double value = all[step][static_cast<int64_t>(i)].item<double>();
      if (largest_.count(names_[i]))
        largest_metric(numbers, names_[i], value);
      else
        add_metric(numbers, names_[i], value);
    }
  return {numbers, largest_};
}

void add_measured(const std::vector<StepRecord>& records, int64_t updates, Metrics& metrics) {
  Metrics sums;
  for (const auto& record : records) {
    const auto [numbers, largest] = record.read();
    for (const auto& [name, value] : numbers)
      if (largest.count(name))
        largest_metric(metrics, name, value);
      else
        add_metric(sums, name, value);
  }
  for (const auto& [name, value] : sums) add_metric(metrics, name, value / static_cast<double>(updates));
}

std::pair<Gradients, std::vector<StepRecord>> update_gradients(Training& t, const Update& update,
                                                               int64_t heads,
                                                               const ShareGradients& gradient_of) {
  std::vector<StepRecord> records(update.shares.size());
  auto gradients = lane_gradients(t.workers, t.options.parallel.lanes,
                                  static_cast<int64_t>(update.shares.size()), heads, [&](int64_t k) {
                                    if (update.index == 0 && t.observer.stop_requested()) throw Stopped{};
                                    PhaseClock::Scope scope(t.clock, "train");
                                    const auto i = static_cast<size_t>(k);
                                    return gradient_of(update.shares[i], records[i]);
                                  });
  return {std::move(gradients), std::move(records)};
}

void apply(Training& t, Role& role, TensorMap gradients, int64_t iteration, Metrics& metrics) {
  apply_at(t, role, std::move(gradients), role.rate_at(iteration, t.options.iterations), metrics);
}

void apply_at(Training& t, Role& role, TensorMap gradients, double rate, Metrics& metrics) {
  PhaseClock::Scope scope(t.clock, "optimizer");
  if (gradients.empty()) return;
  const auto step = role.step(std::move(gradients), rate);
  const std::string whose = &role == &t.policy ? "" : role.name() + "_";
  largest_metric(metrics, whose + "grad_norm", step.grad_norm);
  if (!step.skipped) return;
  add_metric(metrics, whose + "skipped_updates", 1.0);
  if (role.max_skipped() > 0 && step.skipped_in_a_row >= role.max_skipped()) give_up(t, role, step);
}

}  // namespace thalweg
