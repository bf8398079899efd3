#include "pipelines/job.h"

namespace thalweg {

Plan Job::plan(const PlanRequest&) const {
  Plan plan;
  plan.note = "memory and time of this kind of job are not predicted";
  return plan;
}

}  // namespace thalweg
