// A method of the `align` job: its own options, what must hold of the job, and its iterations. One file a
// method: a private class with its options, a maker, and its row in the table (pipelines/builtin.cpp).
// Nothing else knows its name.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/chosen.h"
#include "pipelines/stages/lora_block.h"
#include "pipelines/steering/steering.h"
#include "pipelines/training/groups.h"
#include "pipelines/training/metrics.h"

namespace thalweg {

/// A method at work. It holds what it needs between iterations; roles of its own are among training.roles.
class MethodRun {
 public:
  virtual ~MethodRun() = default;
  /// One rollout, or a batch of pictures, and its updates. Throws Error when the job cannot go on.
  virtual Metrics iterate(int64_t iteration) = 0;
  /// What a resumed run needs beside the roles.
  virtual void state(RunState&) {}
  /// Latents that are kept of each sample from its rollout to its update, for `plan`; 0: the clean ones, and
  /// two of each step of the schedule that is trained.
  virtual double stored_latents() const { return 0.0; }
};

/// Trained rewards with their weights, in the order of their columns.
using NamedWeights = std::vector<std::pair<std::string, double>>;

class Method {
 public:
  virtual ~Method() = default;
  virtual std::unique_ptr<Method> clone() const = 0;  // see Cloneable
  virtual void describe(Fields& fields) = 0;
  /// What must hold of the whole job; cheap. Throws Error.
  virtual void check(const TrainingOptions& options) const = 0;
  /// The groups of each iteration. `plan` rehearses with fewer.
  virtual GroupPlan& groups() = 0;
  const GroupPlan& groups() const { return const_cast<Method*>(this)->groups(); }
  /// Pictures that it trains on, named by the lines of /prompts/train: in place of rollouts, or, of a method
  /// of few steps, beside them. None: it draws.
  virtual PictureSource pictures() const { return {}; }
  /// Folder of a model that it learns from, where that is not the reference; empty: it is.
  virtual std::string teacher() const { return {}; }
  /// Iterations before the policy's first update.
  virtual int64_t waits() const { return 0; }
  /// What leads its rollouts to rewards; none: the policy draws alone.
  virtual std::vector<SteeringEntry> steering() const { return {}; }
  /// The largest guidance scale at which it asks a model itself, beside rollouts and evaluations; 1: of none.
  virtual double guidance_scale() const { return 1.0; }
  /// Of the ratio, for the monitors; none: the method clips nothing.
  virtual std::optional<double> clip_range() const { return std::nullopt; }
  /// Whether it makes a generator of the steps of the job's schedule: what is exported says so.
  virtual bool few_step() const { return false; }
  /// Whether it fits the velocity at noised clean latents to a target: that blurs a generator of few steps.
  virtual bool denoises() const { return false; }
  /// Whether every trained reward must have a gradient.
  virtual bool follows_gradients() const { return false; }
  /// Whether iterations draw how much they do, so that `plan` counts several.
  virtual bool varies() const { return false; }
  /// Blocks of the policy's LoRA that are a LoRA each, exported beside the whole; none: it is one.
  virtual std::vector<LoraBlock> blocks(const NamedWeights&) const { return {}; }
  /// Adds the method's roles. `training` must outlive the run.
  virtual std::unique_ptr<MethodRun> start(Training& training) const = 0;
};

/// A method whose options hold its `groups` and whose run is made of them: what is left is to describe and to
/// check.
template <typename Derived, typename Run, typename Options>
class MethodOf : public Cloneable<Derived, Method> {
 public:
  GroupPlan& groups() override { return o_.groups; }
  std::unique_ptr<MethodRun> start(Training& training) const override {
    return std::make_unique<Run>(o_, training);
  }

 protected:
  Options o_;
};

using MethodTable = std::vector<KindRow<Method>>;
const MethodTable& method_table();

}  // namespace thalweg
