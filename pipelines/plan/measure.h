// From a load to a plan: an estimate, corrected by a rehearsal where one is wanted or quick.
#pragma once

#include <functional>

#include "pipelines/plan/load.h"

namespace thalweg {

/// The same job with less to do, run in this process.
struct Rehearsal {
  JobLoad load;
  std::function<std::vector<PlanPhase>()> run;  // phases of the whole job, by what the little of it took
};

/// PlanMode::automatic rehearses when the estimate says that this takes under 20 s of wall time and fits into
/// 80 % of the available memory. Peak memory of the rehearsal corrects that of the estimate. On a GPU
/// nothing is rehearsed and no time is predicted.
Plan make_plan(const std::string& job, JobLoad load, const ModelSize& size, const PlanRequest& request,
               const Rehearsal& rehearsal);

}  // namespace thalweg
