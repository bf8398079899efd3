// Everything a resumed `align` run needs, in one checkpoint folder.
#pragma once

#include <filesystem>
#include <limits>

#include "pipelines/align/method.h"

namespace thalweg {

/// Progress of a run: `next` is the first iteration that has not been done.
struct AlignProgress {
  int64_t next = 0;
  double best_value = -std::numeric_limits<double>::infinity();
  int64_t best_step = 0;
  TensorMap best;  // evaluated parameters of the best held-out evaluation
};

/// Writes checkpoint-`progress.next` and prunes older ones.
void save_align(const AlignContext& context, const Method& method, const AlignProgress& progress,
                const std::string& job_hash);

/// Restores the newest whole checkpoint of the run's folder; a fresh progress when there is none. Throws
/// Error when it belongs to another job.
AlignProgress load_align(AlignContext& context, Method& method, const std::string& job_hash);

/// job_hash() of these options.
std::string align_job_hash(const AlignOptions& options);

}  // namespace thalweg
