// Rehearsals of whole jobs: run in a folder that is removed again.
#pragma once

#include <filesystem>
#include <functional>

#include "engine/core/json.h"
#include "pipelines/plan/plan.h"

namespace thalweg {

/// A fresh folder for this process alone, under a name that nobody can foresee, in the system's folder for
/// temporary files; removed with all it holds. Throws IoError.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// Runs `run` with a fresh folder and returns the phases of its result with wall times as the mean over
/// `workers`, "load and encode" being the rest. The folder is removed, whatever happens.
std::vector<PlanPhase> rehearse_in_scratch(int64_t workers,
                                           const std::function<Json(const std::string& folder)>& run);

}  // namespace thalweg
