// `thalweg plan` for people.
#pragma once

#include <string>

#include "pipelines/plan/plan.h"

namespace thalweg::cli {

/// The plan as lines of text.
std::string plan_table(const Plan& plan);

}  // namespace thalweg::cli
