// Everything a resumed `align` run needs, in one checkpoint folder.
#pragma once

#include <cmath>
#include <limits>

#include "pipelines/align/method.h"
#include "pipelines/align/run_record.h"
#include "pipelines/resume.h"

namespace thalweg {

/// Progress of a run: `next` is the first iteration that has not been done.
struct AlignProgress {
  int64_t next = 0;
  int64_t evaluated = -1;  // step of the newest held-out evaluation
  double held_out = std::nan("");
  double best_value = -std::numeric_limits<double>::infinity();
  int64_t best_step = 0;
  TensorMap best;  // evaluated parameters of the best held-out evaluation
  double elapsed_s = 0.0;
};

/// A run as its folder holds it.
struct AlignStart {
  AlignProgress progress;
  Resumable resumed;
};

/// Writes checkpoint-`progress.next` and prunes older ones: those of the newest `checkpoint.keep` steps stay,
/// and that of the best evaluation. `identity` is align_identity().
void save_align(const AlignContext& context, const Method& method, const AlignProgress& progress,
                const Json& identity, RunRecord& record);

/// Restores the newest whole checkpoint of the run's folder; a fresh progress when there is none. Throws
/// Error when it belongs to another run.
AlignStart load_align(AlignContext& context, Method& method, const Json& identity);

/// run_identity() of these options: prompts, model, LoRA, plugins, and files that a reward's config names.
Json align_identity(const AlignOptions& options);

/// Whether the folder holds all results of this job, so that nothing is left to do.
bool is_finished(const AlignOptions& options);

}  // namespace thalweg
