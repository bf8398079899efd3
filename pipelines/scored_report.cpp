#include "pipelines/scored_report.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/io/image.h"
#include "pipelines/machine_paths.h"
#include "pipelines/report/clips.h"
#include "pipelines/report/fitting.h"
#include "pipelines/report/format.h"
#include "pipelines/report/page.h"
#include "pipelines/stages/decoration.h"

namespace thalweg {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostClipBytes = int64_t{256} << 20;  // of frames that are held at once

std::string number_of(const Json& value) {
  return value.is_number() ? format_number(value.get<double>()) : value.is_null() ? "-" : value.dump();
}

// {"mean", "scored", "not_scored"} by name.
Table table_of_means(const Json& rewards) {
  Table table{.title = "Rewards", .header = {"reward", "mean", "scored", "not scored"}};
  for (const auto& [name, row] : rewards.items())
    table.rows.push_back(
        {name, number_of(row.at("mean")), row.at("scored").dump(), row.at("not_scored").dump()});
  return table;
}

// A row a guidance scale.
Table table_of_scales(const Json& evaluations) {
  Table table{.title = "Rewards by guidance scale"};
  for (const auto& row : evaluations) {
    if (table.header.empty())
      for (const auto& [name, value] : row.items())
        table.header.push_back(name == "guidance_scale" ? "guidance scale" : name);
    auto& cells = table.rows.emplace_back();
    for (const auto& [name, value] : row.items()) cells.push_back(number_of(value));
  }
  table.note = "Means over the same prompts and the same noise.";
  return table;
}

// The guidance scale of the highest combined reward.
Fact best_of(const Json& evaluations) {
  const Json* best = nullptr;
  for (const auto& row : evaluations)
    if (row.at("reward").is_number() && (best == nullptr || row.at("reward") > best->at("reward")))
      best = &row;
  if (best == nullptr) return {"Mean reward", "-"};
  return {"Mean reward",
          number_of(best->at("reward")) +
              (evaluations.size() > 1 ? " at guidance " + number_of(best->at("guidance_scale")) : "")};
}

Chart chart_of_scales(const Json& evaluations) {
  Chart chart{.title = "Rewards by guidance scale", .y_label = "mean", .x_label = "guidance scale"};
  for (const auto& [name, first] : evaluations.front().items()) {
    if (name == "guidance_scale") continue;
    Series series{.name = name};
    for (const auto& row : evaluations)
      if (row.at(name).is_number())
        series.points.emplace_back(row.at("guidance_scale").get<double>(), row.at(name).get<double>());
    std::sort(series.points.begin(), series.points.end());
    chart.series.push_back(std::move(series));
  }
  return chart;
}

Table table_of_steering(const Json& steering) {
  Table table{.title = "Steering", .header = {"what", "value"}};
  for (const auto& [name, value] : steering.items()) table.rows.push_back({name, number_of(value)});
  return table;
}

// The first that fit into memory together, [n,F,3,H,W] in levels.
at::Tensor first_clips(const ShownSamples& samples, const at::Tensor& first_F3HW) {
  const auto total = static_cast<int64_t>(samples.prompts.size());
  const auto most = std::clamp<int64_t>(kMostClipBytes / std::max<int64_t>(1, first_F3HW.numel()), 1, total);
  std::vector<at::Tensor> clips = {eight_bit(first_F3HW)};
  for (int64_t i = 1; i < most; ++i) {
    auto clip = eight_bit(samples.frames_F3HW(i));
    if (clip.sizes() != clips.front().sizes()) break;
    clips.push_back(std::move(clip));
  }
  return at::stack(clips);
}

// False: they cannot be played, and the caption says why.
bool plays_clips(GridPair& grid, const ShownSamples& samples, const at::Tensor& first_F3HW,
                 const fs::path& folder) {
  const auto all = grid.pictures;
  try {
    const auto clips = first_clips(samples, first_F3HW);
    grid.pictures.resize(static_cast<size_t>(clips.size(0)));
    if (grid.pictures.size() < all.size())
      grid.caption += " Shown are the first " + std::to_string(grid.pictures.size()) + " of " +
                      std::to_string(all.size()) + " clips, so that this page stays small.";
    add_clips(grid, {}, clips, samples.fps, folder);
    return true;
  } catch (const Error& error) {
    grid.pictures = all;
    grid.caption += " Clips cannot be shown here: " + error.message() + ".";
    return false;
  }
}

}  // namespace

GridPair grid_of(const ShownSamples& samples, const fs::path& folder) {
  GridPair grid{.title = samples.title, .caption = samples.caption, .score_name = "reward"};
  for (size_t i = 0; i < samples.prompts.size(); ++i)
    grid.pictures.push_back({.prompt = samples.prompts[i],
                             .after_score = i < samples.scores.size() ? samples.scores[i] : kNotScored});
  if (samples.prompts.empty()) return grid;
  if (samples.prompts.size() < samples.total)
    grid.caption += " These are the first " + std::to_string(samples.prompts.size()) + " of " +
                    std::to_string(samples.total) + ".";
  auto frames_F3HW = samples.frames_F3HW(0);
  if (frames_F3HW.size(0) > 1 && plays_clips(grid, samples, frames_F3HW, folder)) return grid;
  const auto total = static_cast<int64_t>(samples.prompts.size());
  const auto shown = fitting(total, frames_F3HW.size(0), frames_F3HW.size(2), frames_F3HW.size(3));
  if (!shown.note.empty()) grid.caption += " " + shown.note;
  grid.pictures.resize(static_cast<size_t>(shown.pairs));
  for (int64_t i = 0; i < shown.pairs; ++i)
    grid.pictures[static_cast<size_t>(i)].after =
        report_png(i == 0 ? frames_F3HW : samples.frames_F3HW(i), shown);
  return grid;
}

std::vector<double> first_scores(const CombinedReward& total, int64_t most) {
  std::vector<double> scores;
  const auto values = total.total_B.accessor<double, 1>();
  const auto valid = total.valid_B.accessor<bool, 1>();
  for (int64_t i = 0; i < std::min(most, total.total_B.size(0)); ++i)
    scores.push_back(valid[i] ? values[i] : kNotScored);
  return scores;
}

Report scored_report(const std::string& output, const Json& result, Json settings, bool came_to_something) {
  Report report;
  report.title = last_component(output);
  report.status = came_to_something ? "succeeded" : "failed";
  const auto kind = result.at("job").get<std::string>();
  const auto model = settings.value(Json::json_pointer("/model/path"), std::string());
  report.subtitle = kind + (model.empty() ? "" : " from " + last_component(model));
  report.headline = {{kind == "score" ? "Scored" : "Samples", result.at("samples").dump()}};
  if (result.contains("steps")) report.headline.push_back({"Steps", result.at("steps").dump()});
  if (result.contains("evaluations") && !result.at("evaluations").empty()) {
    report.headline.push_back(best_of(result.at("evaluations")));
    report.tables.push_back(table_of_scales(result.at("evaluations")));
    if (result.at("evaluations").size() > 1)
      report.charts.push_back(chart_of_scales(result.at("evaluations")));
  }
  if (result.contains("rewards")) {
    report.tables.push_back(table_of_means(result.at("rewards")));
    if (const auto mean = result.at("rewards").value("reward", Json::object()).value("mean", Json());
        mean.is_number())
      report.headline.push_back({"Mean reward", number_of(mean)});
  }
  if (result.contains("steering")) report.tables.push_back(table_of_steering(result.at("steering")));
  if (const auto failures = result.value("reward_failures", Json::array()); !failures.empty())
    report.tables.push_back(failure_table(failures));
  for (const auto& [phase, time] : result.at("time_phases").items())
    report.timings.push_back({phase, time.at("wall_s").get<double>(), time.at("cpu_s").get<double>()});
  report.job = without_machine_paths(std::move(settings));
  return report;
}

void write_scored_report(const std::string& output, Report report, const std::vector<ShownSamples>& shown,
                         const Observer& observer) {
  decorate(observer, "report.html", [&] {
    for (const auto& samples : shown)
      if (samples.frames_F3HW) report.grids.push_back(grid_of(samples, output));
    write_synced(fs::path(output) / "report.html", render_report(report));
    return "";
  });
}

Table failure_table(const Json& reward_failures) {
  Table table{.title = "Rewards that failed",
              .header = {"plugin", "reason", "phase", "samples", "calls", "first at iteration"}};
  for (const auto& row : reward_failures)
    table.rows.push_back({row.at("plugin").get<std::string>(), row.at("reason").get<std::string>(),
                          row.at("phase").get<std::string>(), row.at("samples").dump(),
                          row.at("calls").dump(), row.at("first_step").dump()});
  table.note = "Samples without a reward are masked: they reach no statistic and no gradient.";
  return table;
}

}  // namespace thalweg
