// The curves of an aligned run's report.
#pragma once

#include <vector>

#include "pipelines/align/summary.h"
#include "pipelines/report/report.h"

namespace thalweg {

/// Of the rows of metrics.jsonl, in the order of the page; those without a point are left out there.
std::vector<Chart> charts_of(const AlignContext& context, const AlignSummary& summary,
                             const std::vector<Json>& rows);

}  // namespace thalweg
