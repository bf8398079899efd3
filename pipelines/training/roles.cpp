#include "pipelines/training/roles.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/core/device.h"
#include "engine/optim/gradients.h"

namespace thalweg {

Role::Role(std::string name, const PolicySpace& space, TensorMap parameters, std::optional<Learning> learning)
    : name_(std::move(name)),
      space_(space),
      learning_(std::move(learning)),
      parameters_(std::move(parameters)) {
  if (!learning_) return;
  const auto& o = learning_->optimizer;
  optimizer_.emplace(AdamWOptions{o.beta1, o.beta2, o.eps, o.weight_decay});
  if (learning_->ema_decay > 0.0) average_ = cloned(parameters_);
}

Velocity Role::velocity() const {
  const std::lock_guard lock(mutex_);
  if (!bound_) {
    const c10::AutoGradMode with_gradients(true);  // whoever asks first may draw samples, and others train
    bound_ = space_.bind(parameters_);
  }
  return bound_;
}

double Role::rate_at(int64_t iteration, int64_t iterations) const {
  TORCH_CHECK(learning_, name_, " does not learn");
  return learning_->optimizer.rate_at(iteration, iterations);
}

Role::Step Role::step(TensorMap gradients, double rate) {
  TORCH_CHECK(learning_, name_, " does not learn");
  const auto& o = learning_->optimizer;
  Step taken{clip_gradients(gradients, o.max_grad_norm, o.max_grad_value)};
  taken.skipped = !std::isfinite(taken.grad_norm);
  taken.skipped_in_a_row = skipped_in_a_row_ = taken.skipped ? skipped_in_a_row_ + 1 : 0;
  if (taken.skipped) return taken;
  bound_ = nullptr;
  optimizer_->step(parameters_, gradients, rate);
  const auto n = static_cast<double>(steps_++);
  if (!average_.empty())
    ema_update(average_, parameters_, std::min((1.0 + n) / (10.0 + n), learning_->ema_decay));
  return taken;
}

void Role::follow(const Role& leader, double decay) {
  bound_ = nullptr;
  ema_update(parameters_, leader.parameters_, decay);
}

void Role::state(RunState& state) {
  const auto home = parameters_.empty() ? at::Device(at::kCPU) : parameters_.begin()->second.device();
  state.tensors(name_, parameters_);
  if (state.reads()) {
    bound_ = nullptr;
    parameters_ = moved(parameters_, home);  // a checkpoint is read to where the model is
  }
  if (!learning_) return;
  auto moments = optimizer_->state();
  state.tensors(name_ + ".optimizer", moments);
  state.tensors(name_ + ".average", average_);
  state.integer(name_ + ".steps", steps_);
  state.integer(name_ + ".skipped_in_a_row", skipped_in_a_row_);
  if (!state.reads()) return;
  parameters_ = leaves(parameters_);
  average_ = moved(average_, home);
  optimizer_->load_state(moved(moments, home));
}

Role& Roles::add(const std::string& name, const PolicySpace& space, TensorMap parameters,
                 std::optional<Learning> learning) {
  for (const auto& role : all_) TORCH_CHECK(role->name() != name, "two roles are named ", name);
  return *all_.emplace_back(std::make_unique<Role>(name, space, std::move(parameters), std::move(learning)));
}

void Roles::state(RunState& state) {
  for (const auto& role : all_) role->state(state);
}

}  // namespace thalweg
