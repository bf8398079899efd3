// `thalweg export`: the weights of a run that has not ended, from one of its checkpoints.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace thalweg {

struct ExportRequest {
  std::filesystem::path run;          // the run's folder
  std::optional<int64_t> checkpoint;  // its weights; none: the best of the newest checkpoint
  std::string model;                  // where the model is now; empty: where the job found it
  std::filesystem::path to;           // a folder; empty: RUN/export-ITERATION
};

struct Export {
  std::filesystem::path checkpoint, to;
  int64_t iteration = 0;
  bool best = false;   // of the held-out evaluations so far
  double value = 0.0;  // of that evaluation
};

/// Writes the weights of a run that was stopped, or goes on, as its end would: those of the best held-out
/// evaluation so far, or, before the first one, of the newest checkpoint. The run is left as it is. Throws
/// Error when the folder holds no whole checkpoint of an `align` run, when the model is another by now, or
/// when `to` is not empty.
Export export_run(const ExportRequest& request);

}  // namespace thalweg
