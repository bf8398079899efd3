// An `align` run as the life of a training run sees it.
#pragma once

#include "pipelines/align/context.h"
#include "pipelines/align/trainee_state.h"
#include "pipelines/stages/evaluation.h"
#include "pipelines/training/run.h"

namespace thalweg {

class AlignTrainee final : public Trainee {
 public:
  /// `context` must outlive it. Throws Error at /evaluate/metric for one that no held-out picture can have.
  explicit AlignTrainee(AlignContext& context);

  Metrics iterate(int64_t iteration) override { return c_.method->iterate(iteration); }
  HeldOut evaluate(int64_t step) override;
  TensorMap shown() const override { return c_.training.policy.shown(); }
  void state(RunState& state) override;
  std::vector<Event> start_events() const override { return c_.start_events; }
  std::vector<Event> take_events() override { return c_.take_events(); }
  std::vector<PhaseTiming> timings() const override { return c_.timings(); }

 private:
  void require_value(int64_t step, const Evaluation& evaluation) const;

  AlignContext& c_;
  int64_t column_;
  TraineeNotes notes_;
};

}  // namespace thalweg
