#include "pipelines/methods/step_loss.h"

#include <ATen/ATen.h>

#include <utility>

#include "engine/core/device.h"
#include "engine/optim/gradients.h"

namespace thalweg {
namespace {

// where(), not a product: a masked sample's loss may be NaN, and NaN * 0 is NaN.
at::Tensor weighted_sum(const at::Tensor& value_B, const at::Tensor& weight_B, const at::Tensor& used_B) {
  return at::where(used_B, value_B * weight_B.to(value_B.scalar_type()), 0.0).sum();
}

}  // namespace

ShareHeads::ShareHeads(const std::vector<Head>& heads, const Update& update, const Share& share,
                       int64_t steps, at::Device device)
    : used_B_(on_device(share.rows(update.used_B), device)),
      weight_B_(used_B_.to(at::kDouble) / (update.used * static_cast<double>(steps))) {
  for (const auto& head : heads)
    heads_.push_back({on_device(share.rows(head.advantage_B, head.advantage_B.dim() - 1), device),
                      on_device(share.rows(head.weight_B) / static_cast<double>(steps), device),
                      share.rows(head.weight_B).any().item<bool>()});
}

at::Tensor ShareHeads::mean(const at::Tensor& value_B) const {
  return weighted_sum(value_B, weight_B_, used_B_);
}

void ShareHeads::differentiate(const StepLoss& loss, const TensorMap& parameters, Gradients& sums,
                               StepRecord& record, int64_t step) const {
  std::vector<at::Tensor> losses;
  auto policy_loss = at::zeros({}, weight_B_.options());
  at::Tensor penalty;
  for (const auto& [advantage, weight_B, any] : heads_) {
    losses.emplace_back();
    if (!any && heads_.size() > 1) continue;  // a backward pass for nothing
    const auto advantage_B = advantage.dim() == 1 ? advantage : advantage[step];
    losses.back() = weighted_sum(loss.policy_B(advantage_B), weight_B, weight_B > 0.0);
    policy_loss += losses.back().detach() / static_cast<double>(heads_.size());
  }
  std::vector<Measured> measured = {{loss.name, policy_loss}};
  for (const auto& [name, value_B, weight] : loss.penalties) {
    const auto value = mean(value_B);
    measured.push_back({name, value.detach()});
    penalty = penalty.defined() ? penalty + value * weight : value * weight;
  }
  for (const auto& measure : loss.measures) measured.push_back({measure.name, mean(measure.value_B)});
  measured.insert(measured.end(), loss.numbers.begin(), loss.numbers.end());
  record.add(measured);
  if (penalty.defined() && losses.size() > 1) losses.push_back(penalty);
  if (penalty.defined() && losses.size() == 1) losses[0] = losses[0] + penalty;
  auto gradients = gradients_of(losses, parameters);
  for (size_t i = 0; i < gradients.size(); ++i) accumulate(sums[i], std::move(gradients[i]));
}

int64_t gradients_of_heads(size_t heads) {
  return static_cast<int64_t>(heads > 1 ? heads + 1 : heads);
}

void apply_heads(Training& t, Role& role, Aggregator& aggregator, Gradients gradients, int64_t iteration,
                 Metrics& metrics) {
  TensorMap penalty;
  if (gradients.size() > 1) {
    penalty = std::move(gradients.back());
    gradients.pop_back();
  }
  auto direction = aggregator.direction(std::move(gradients), metrics);
  accumulate(direction, std::move(penalty));
  apply(t, role, std::move(direction), iteration, metrics);
}

}  // namespace thalweg
