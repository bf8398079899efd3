// What a method asks for, found by running it: one small iteration on latents of one number, with a network
// that only counts. So no method has a formula here, and a new one needs no line.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "pipelines/methods/method.h"

namespace thalweg {

/// A role's sets of parameters.
struct RoleCount {
  std::string name;
  bool learns = false, averaged = false;
};

/// For each sample of a rollout; a guided forward is two.
struct MethodCount {
  double forwards_of_rollout = 0.0;
  double forwards_with_gradient = 0.0, forwards_without = 0.0;  // the rollout's own left out
  double backwards = 0.0;           // more than forwards where rewards have gradients of their own
  double latent_backwards = 0.0;    // of forwards without gradient: to their latents alone
  double reward_gradients = 0.0;    // of finished samples, through the decoder
  int64_t gradients = 1;            // at once
  bool decoded = true;              // the samples of a rollout, and scored
  double stored_latents = 1.0;      // kept from rollout to training
  double rows_with_gradient = 1.0;  // in one call, of one sample: 2 where guided
  std::vector<RoleCount> roles;
};

/// Of iteration `iteration`. `model_schedule`: the model's own schedule of so many steps. `rewards`: trained
/// ones.
MethodCount count_method(const Method& method, const TrainingOptions& options, int64_t iteration,
                         const std::function<Schedule(int64_t)>& model_schedule, int64_t rewards = 1);

}  // namespace thalweg
