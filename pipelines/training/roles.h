// The roles of a run: named sets of parameters over one backbone, each with an optimizer and an average of
// its own or without. Checkpoints, resume and `plan` walk them; no file name stands for one of them.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/optim/adamw.h"
#include "pipelines/stages/policy.h"
#include "pipelines/training/options.h"
#include "pipelines/training/state.h"

namespace thalweg {

/// How a role learns. The average is an EMA with decay min((1 + n) / (10 + n), ema_decay) at its n-th step.
struct Learning {
  OptimizerSection optimizer;
  double ema_decay = 0.0;  // 0: no average
};

class Role {
 public:
  /// Starts from `parameters`. Without `learning` it changes only by follow(): an old policy.
  Role(std::string name, const PolicySpace& space, TensorMap parameters, std::optional<Learning> learning);

  const std::string& name() const { return name_; }
  /// Float32; leaves that require gradients where the role learns.
  const TensorMap& parameters() const { return parameters_; }
  /// What is evaluated and exported: the average where there is one.
  const TensorMap& shown() const { return average_.empty() ? parameters_ : average_; }
  /// Of the parameters as they are now: bound, and cast to the compute dtype, once between two changes of
  /// them.
  Velocity velocity() const;

  struct Step {
    double grad_norm = 0.0;        // before clipping
    bool skipped = false;          // it was not finite: nothing changed
    int64_t skipped_in_a_row = 0;  // this one and those before it
  };
  /// Clips the gradients, and steps the optimizer at this learning rate, and the average.
  Step step(TensorMap gradients, double rate);
  /// Its optimizer's learning rate in this iteration of so many.
  double rate_at(int64_t iteration, int64_t iterations) const;
  /// Steps that were taken, skipped ones left out.
  int64_t steps() const { return steps_; }
  /// parameters <- decay * parameters + (1 - decay) * leader's.
  void follow(const Role& leader, double decay);

  void state(RunState& state);
  bool learns() const { return learning_.has_value(); }
  /// Of its optimizer; 0: any number.
  int64_t max_skipped() const { return learning_ ? learning_->optimizer.max_skipped : 0; }
  bool averaged() const { return !average_.empty(); }

 private:
  std::string name_;
  const PolicySpace& space_;
  std::optional<Learning> learning_;
  std::optional<AdamW> optimizer_;
  TensorMap parameters_, average_;
  int64_t steps_ = 0, skipped_in_a_row_ = 0;
  mutable std::mutex mutex_;
  mutable Velocity bound_;  // none: the parameters have changed
};

class Roles {
 public:
  /// The name is that of its files in a checkpoint; asserts that it is new.
  Role& add(const std::string& name, const PolicySpace& space, TensorMap parameters,
            std::optional<Learning> learning = std::nullopt);
  /// In the order in which they were added.
  const std::vector<std::unique_ptr<Role>>& all() const { return all_; }
  void state(RunState& state);

 private:
  std::vector<std::unique_ptr<Role>> all_;  // of lasting address: methods keep references
};

}  // namespace thalweg
