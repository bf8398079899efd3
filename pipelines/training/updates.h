// Optimizer steps on a rollout: which rows each takes, their gradients over the lanes, what they measure.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "pipelines/stages/lanes.h"
#include "pipelines/training/groups.h"
#include "pipelines/training/metrics.h"

namespace thalweg {

/// A micro-batch in an update: rows [begin, end) of the rollout.
struct Share {
  const MicroBatch& batch;
  int64_t begin = 0, end = 0;

  /// Its part of a tensor of all samples along `dim`: of [B], [K,B] or [T,B].
  at::Tensor rows(const at::Tensor& of_all, int64_t dim = 0) const { return of_all.slice(dim, begin, end); }
};

/// One optimizer step: its micro-batches, none when no sample of them counts.
struct Update {
  int64_t index = 0;  // in its iteration
  std::vector<Share> shares;
  double used = 0.0;  // samples that count
  at::Tensor used_B;  // of all samples: which of them count
};

/// `used_B` of all samples: which of them count.
Update update_of(const std::vector<MicroBatch>& batches, const GroupPlan& plan, int64_t update,
                 const at::Tensor& used_B);

/// Steps of a window that are trained: all but the schedule's last, whose noise is almost none.
std::vector<int64_t> trained_steps(StepWindow window, int64_t steps);

/// Latents with the rows of masked samples set to 0: whatever they hold, no NaN of theirs reaches a gradient.
at::Tensor used_rows(const at::Tensor& latents_BCFHW, const at::Tensor& used_B);

/// Of each sample the latents of its own step: of_steps[k] is [B,C,F,H,W], k_B int64.
at::Tensor rows_of_steps(const std::vector<at::Tensor>& of_steps, const at::Tensor& k_B);

/// A number that a training step measures.
struct Measured {
  std::string name;
  at::Tensor value;      // without dimensions
  bool largest = false;  // of all steps; else their sum
};

/// What the training steps of one micro-batch measure. It stays where it was computed until read(), so that
/// no step waits for its device.
class StepRecord {
 public:
  /// The same names in the same order for every step.
  void add(const std::vector<Measured>& numbers);
  /// Of all steps, with the names of those of which the largest counts.
  std::pair<Metrics, std::set<std::string>> read() const;

 private:
  std::vector<std::string> names_;
  std::set<std::string> largest_;
  std::vector<at::Tensor> rows_;
};

/// Of an update, whose `records` are in order so that sums do not depend on which worker came first: adds
/// each number, a sum over `updates` divided by their number.
void add_measured(const std::vector<StepRecord>& records, int64_t updates, Metrics& metrics);

/// Gradients of one share, one map a head: most methods have one, some one a reward.
using Gradients = std::vector<TensorMap>;
using ShareGradients = std::function<Gradients(const Share&, StepRecord&)>;

/// Gradients of its shares, summed over the lanes head by head, and their records in order. `gradient_of`
/// runs on the workers. Before an iteration's first step nothing has changed yet, so that a stop gives the
/// iteration up (Stopped).
std::pair<Gradients, std::vector<StepRecord>> update_gradients(Training& training, const Update& update,
                                                               int64_t heads,
                                                               const ShareGradients& gradient_of);

/// Steps `role` at this learning rate; nothing without gradients. Adds grad_norm and skipped_updates, of
/// another role than the policy under its name. Throws Error, and adds the event "updates_given_up", when as
/// many updates in a row were skipped as the role's max_skipped allows.
void apply_at(Training& training, Role& role, TensorMap gradients, double rate, Metrics& metrics);
/// At the rate that its optimizer has in this iteration.
void apply(Training& training, Role& role, TensorMap gradients, int64_t iteration, Metrics& metrics);

}  // namespace thalweg
