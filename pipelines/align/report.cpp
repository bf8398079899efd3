#include <ATen/ATen.h>

#include <algorithm>
#include <cstdio>

#include "engine/core/error.h"
#include "engine/core/file.h"
#include "engine/io/metrics.h"
#include "pipelines/align/charts.h"
#include "pipelines/align/summary.h"
#include "pipelines/machine_paths.h"
#include "pipelines/report/clips.h"
#include "pipelines/report/fitting.h"
#include "pipelines/report/format.h"
#include "pipelines/report/page.h"
#include "pipelines/scored_report.h"

namespace thalweg {
namespace {

// Whether it does; if not, the caption says why.
bool plays_clips(GridPair& grid, const AlignSummary& s, double fps, const std::filesystem::path& folder) {
  try {
    add_clips(grid, s.before_BF3HW, s.after_BF3HW, fps, folder);
    return true;
  } catch (const Error& error) {
    grid.caption += " Clips cannot be shown here: " + error.message() + ".";
    return false;
  }
}

// Of clips that cannot be played the frames in a row.
GridPair pictures_of(const std::filesystem::path& folder, const AlignOptions& o, const AlignSummary& s) {
  GridPair grid;
  grid.title = "Before and after";
  grid.caption = std::string("The same prompt and the same noise, drawn by ") + reference_name(o) +
                 " and by the aligned model.";
  grid.score_name = s.metric;
  if (!s.after_BF3HW.defined()) return grid;
  const auto sizes = s.after_BF3HW.sizes();
  for (size_t i = 0; i < static_cast<size_t>(sizes[0]); ++i)
    grid.pictures.push_back({s.prompts[i], "", "", s.before_scores[i], s.after_scores[i], ""});
  if (sizes[1] > 1 && plays_clips(grid, s, o.video.fps, folder)) return grid;
  const auto shown = fitting(sizes[0], sizes[1], sizes[3], sizes[4]);
  if (!shown.note.empty()) grid.caption += " " + shown.note;
  grid.pictures.resize(static_cast<size_t>(shown.pairs));
  for (int64_t i = 0; i < shown.pairs; ++i) {
    auto& pair = grid.pictures[static_cast<size_t>(i)];
    pair.before = report_png(s.before_BF3HW[i], shown);
    pair.after = report_png(s.after_BF3HW[i], shown);
  }
  return grid;
}

Table baselines_of(const AlignContext& c, const AlignSummary& s) {
  Table table;
  table.title = std::string("Against ") + reference_name(c.options) + ", at its best guidance";
  table.header = {"model", "guidance scale"};
  for (const auto& name : s.names) table.header.push_back(name);
  for (const auto& b : s.baselines) {
    std::vector<std::string> row = {c.options.reference == "base" ? "base" : "as loaded",
                                    format_number(b.guidance_scale), format_number(b.mean_total)};
    for (const double mean : b.mean_K) row.push_back(format_number(mean));
    table.rows.push_back(std::move(row));
  }
  std::vector<std::string> row = {"aligned", format_number(c.options.evaluate.guidance_scale)};
  for (const double mean : s.after_means) row.push_back(format_number(mean));
  table.rows.push_back(std::move(row));
  table.note = "Means over the held-out prompts of /prompts/eval, one picture each.";
  return table;
}

Table table_of(const AlignContext& c, const AlignSummary& s) {
  Table table;
  table.title = "All rewards on held-out prompts";
  table.header = {"reward", "before", "after", "difference", "95 % low", "95 % high", "n"};
  for (size_t i = 0; i < s.names.size(); ++i) {
    const auto& d = s.differences[i];
    table.rows.push_back({s.names[i], format_number(d.mean_before), format_number(d.mean_after),
                          format_number(d.mean), format_number(d.low), format_number(d.high),
                          std::to_string(d.n)});
  }
  table.note = "Paired bootstrap over prompts: the same prompts, noise and sampler before and after.";
  if (!c.shared_prompts.empty()) table.note += " Not held out: " + c.shared_prompts + ".";
  return table;
}

std::vector<Comparison> comparisons_of(const AlignSummary& s) {
  std::vector<Comparison> comparisons;
  for (size_t i = 0; i < s.names.size(); ++i) {
    Comparison comparison;
    comparison.label = s.names[i];
    comparison.difference = s.differences[i];
    // The metric that chose the checkpoint leads.
    if (s.names[i] == s.metric)
      comparisons.insert(comparisons.begin(), comparison);
    else if (s.names[i] != "reward" && comparisons.size() < 4)
      comparisons.push_back(comparison);
  }
  return comparisons;
}

Health health_of(const AlignSummary& s) {
  Health health;
  for (const auto& alarm : s.alarms) {
    const auto since = std::to_string(alarm.since);
    const bool over = alarm.until >= 0;
    health.findings.push_back(
        {alarm.title, alarm.text,
         over ? "iterations " + since + " to " + std::to_string(alarm.until) : "since iteration " + since,
         alarm.advice, over});
  }
  // The unhappiest first: what lasts before what is over.
  std::stable_sort(health.findings.begin(), health.findings.end(),
                   [](const Finding& a, const Finding& b) { return a.over < b.over; });
  health.watched =
      "Held-out rewards against the trained one, variance of the reward within groups, diversity and "
      "statistics of the pictures, gradients and ratios; thresholds: /monitors of the job.";
  if (!s.has_held_out)
    health.watched +=
        " No reward is held out here: add one with \"weight\": 0 to see whether the trained one "
        "is being exploited.";
  return health;
}

// What was found out about the run at its start, and why it ended where it did.
std::vector<Note> notes_of(const AlignSummary& s) {
  std::vector<Note> notes;
  if (s.self_check.is_object())
    notes.push_back({s.self_check.at("level") == "warn" ? Note::Level::warning : Note::Level::info,
                     "After iteration " + s.self_check.at("step").dump() + ", " +
                         s.self_check.at("message").get<std::string>() + "."});
  notes.push_back(
      {Note::Level::info, "The run ended after iteration " + std::to_string(s.iterations) +
                              (s.ended_early.empty() ? ", its last." : ", early: " + s.ended_early + ".")});
  return notes;
}

std::string trained_part(const PolicySpace& space) {
  if (!space.is_lora()) return "all weights";
  int64_t low = space.strength().rank, high = low;
  for (const auto& [layer, rank] : space.strength().ranks)
    low = std::min(low, rank), high = std::max(high, rank);
  return "LoRA, rank " + std::to_string(low) + (low == high ? "" : " to " + std::to_string(high));
}

}  // namespace

void write_report(const std::filesystem::path& folder, const AlignContext& c, const AlignSummary& s) {
  const auto& o = c.options;
  const auto rows = MetricsLog::read_all(folder / "metrics.jsonl");
  Report report;
  report.title = o.name.empty() ? last_component(folder.string()) : o.name;
  report.subtitle = o.method.name() + " on " + last_component(o.model.path);
  report.status = "succeeded";
  report.headline = {{"Method", o.method.name()},
                     {"Trained", trained_part(c.training.space)},
                     {"Iterations", s.ended_early.empty() ? std::to_string(s.iterations)
                                                          : std::to_string(s.iterations) + " of " +
                                                                std::to_string(o.iterations)},
                     {"Checkpoint", "after iteration " + std::to_string(s.best_step)}};
  report.health = health_of(s);
  report.notes = notes_of(s);
  report.comparisons = comparisons_of(s);
  report.charts = charts_of(c, s, rows);
  report.grids.push_back(pictures_of(folder, o, s));
  report.tables = {table_of(c, s)};
  if (!s.baselines.empty()) report.tables.push_back(baselines_of(c, s));
  if (!s.reward_failures.empty()) report.tables.push_back(failure_table(s.reward_failures));
  for (const auto& timing : c.timings()) report.timings.push_back({timing.phase, timing.wall, timing.cpu});
  AlignOptions copy = o;
  report.job = without_machine_paths(write_fields([&](Fields& f) { describe(f, copy); }));
  write_synced(folder / "report.html", render_report(report));
}

}  // namespace thalweg
