// report.html of `sample`, `score` and `evaluate`: rewards, what was drawn, where the time went.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "pipelines/observer.h"
#include "pipelines/report/report.h"
#include "rewards/combine/weighted.h"

namespace thalweg {

inline constexpr int64_t kReportSamples = 64;  // of a page: the first

/// Samples of a grid, the first of the job.
struct ShownSamples {
  std::string title = {}, caption = {};
  std::vector<std::string> prompts = {};                  // of those that are shown
  std::vector<double> scores = {};                        // of each, kNotScored; empty: there are none
  std::function<at::Tensor(int64_t i)> frames_F3HW = {};  // of each, levels or floats; empty: none is shown
  size_t total = 0;                                       // of the job
  double fps = 0.0;                                       // of clips
};

/// As the report's rules have it (fitting.h, clips.h); clips that cannot be played as strips of their frames.
/// `folder`: for a file that is there for a moment. Throws Error where a sample cannot be read.
GridPair grid_of(const ShownSamples& samples, const std::filesystem::path& folder);

/// The first `most` combined rewards.
std::vector<double> first_scores(const CombinedReward& total, int64_t most);

/// What became of a job of one step, by its result.json; `settings`: the job as it ran.
Report scored_report(const std::string& output, const Json& result, Json settings, bool came_to_something);

/// report.html with these grids: decoration, which never ends a run.
void write_scored_report(const std::string& output, Report report, const std::vector<ShownSamples>& shown,
                         const Observer& observer);

/// Rewards that failed, of result.json's "reward_failures".
Table failure_table(const Json& reward_failures);

}  // namespace thalweg
