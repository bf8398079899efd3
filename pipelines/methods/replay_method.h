// Methods that are the transition loop with a loss of their own: their keys, their checks, their iteration
// (draw -> score -> advantages -> some samples -> updates). One of them says its loss and its defaults.
#pragma once

#include "pipelines/methods/method.h"
#include "pipelines/methods/reference_kl.h"

namespace thalweg {

class ReplayMethod : public Method {
 public:
  struct Options {
    GroupPlan groups{8, 16, 2};
    AdvantageOptions advantages;
    ReplayOptions replay;
    ReferenceOptions reference;
    int64_t keep = 0;            // samples of a group that are trained; 0: all
    double step_fraction = 1.0;  // of the steps with noise, drawn anew each iteration
    /// Whether the last step is the ODE's wherever the job's window ends. It is not trained, and without its
    /// noise the sample is the clean estimate x - s v of the last state.
    bool clean_end = false;
  };

  explicit ReplayMethod(const char* name) : name_(name) {}

  void describe(Fields& fields) override;
  void check(const TrainingOptions& options) const override;
  GroupPlan& groups() override { return o_.groups; }
  std::unique_ptr<MethodRun> start(Training& training) const override;

  const Options& options() const { return o_; }
  /// Of one stored transition.
  virtual StepLoss loss(const Replayed& replayed) const = 0;

 protected:
  /// "step_fraction", of a method that trains a part of them.
  void describe_step_fraction(Fields& fields);

  Options o_;
  const char* name_;
};

/// Iterations of such a method: draw -> score -> advantages -> some samples -> updates.
class ReplayRun : public MethodRun {
 public:
  /// `method` is a ReplayMethod.
  ReplayRun(std::unique_ptr<Method> method, Training& training);

  Metrics iterate(int64_t iteration) override;
  void state(RunState& state) override;

 protected:
  const ReplayMethod& method() const { return replaying_; }
  Training& training() const { return t_; }

  /// Drawn and scored; `trained`: steps of `window` whose transitions are stored. By default
  /// draw_transitions.
  virtual Transitions drawn(int64_t iteration, StepWindow window, const std::vector<int64_t>& trained,
                            Metrics& metrics);
  /// By default the method's.
  virtual StepLoss loss(const Replayed& replayed) const { return replaying_.loss(replayed); }

 private:
  void keep_some(Transitions& drawn, Advantages& advantages) const;
  Replay replay() const;

  const std::unique_ptr<Method> method_;
  const ReplayMethod& replaying_;
  const ReplayMethod::Options& o_;
  Training& t_;
  const std::unique_ptr<Aggregator> aggregator_;
  ReferenceKl reference_;
};

/// With the clipped ratio.
class ClippedReplay : public ReplayMethod {
 public:
  ClippedReplay(const char* name, double clip_range) : ReplayMethod(name), clip_range_(clip_range) {}

  void describe(Fields& fields) override;
  std::optional<double> clip_range() const override { return clip_range_; }
  StepLoss loss(const Replayed& replayed) const override;

 protected:
  double clip_range_;
};

/// The same on a window of the steps; the others are the ODE's.
class WindowReplay : public ClippedReplay {
 public:
  using ClippedReplay::ClippedReplay;

  /// Throws Error at /sampler/window unless noise is drawn in a part of the steps alone.
  void check(const TrainingOptions& options) const override;
};

/// Rows of the rollout, ascending: of each group the keep/2 samples with the largest advantages and the
/// keep/2 with the smallest (of several heads: of their sum), the first of equal ones. Of a group with no
/// more than `keep` samples that count, those.
std::vector<int64_t> best_and_worst(const Advantages& advantages, const std::vector<int64_t>& group_B,
                                    int64_t keep);

/// floor(fraction n) of n `steps`, one at least, ascending, drawn for each iteration: all samples train the
/// same ones.
std::vector<int64_t> some_steps(std::vector<int64_t> steps, double fraction, uint64_t seed,
                                int64_t iteration);

}  // namespace thalweg
