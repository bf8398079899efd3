// What a report says of a run, before it is a page.
#pragma once

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/json.h"
#include "engine/core/statistics.h"

namespace thalweg {

inline constexpr double kNotScored = std::numeric_limits<double>::quiet_NaN();

/// A figure of the page's head: "Method", "Flow-GRPO". `value` is shown as it is.
struct Fact {
  std::string label, value;
};

/// One reward on the held-out prompts before and after, same prompts and seeds. The first one leads the page.
struct Comparison {
  std::string label;
  PairedDifference difference;
  bool higher_is_better = true;
  std::string note;  // optional: what the number means, "fraction of scenes fully right"
};

/// A line of a chart. x rises; a y that is not finite leaves a gap. `low` and `high`, when given, have one
/// entry for each point and are drawn as a band.
struct Series {
  std::string name = {};
  std::vector<std::pair<double, double>> points = {};
  std::vector<double> low = {}, high = {};
};

struct Chart {
  std::string title = {};
  std::string y_label = {};
  std::string x_label = "iteration";
  std::vector<Series> series = {};  // at most 8 are told apart by colour
  std::string note = {};
};

/// The same prompt and seed before and after. Bytes are PNG files (of a video a strip of its frames), or MP4
/// files. Only `after` is required: a run without a "before" leaves the other empty.
struct PicturePair {
  std::string prompt = {};
  std::string before = {}, after = {};
  double before_score = kNotScored;
  double after_score = kNotScored;
  std::string detail = {};  // optional: "seed 7"
};

struct GridPair {
  std::string title = {};
  std::string caption = {};
  std::string score_name = {};
  std::vector<PicturePair> pictures = {};
  int64_t clip_height = 0, clip_width = 0;  // of MP4 files; 0: they are PNG files, which say their own
};

/// Cells are text; those that read as numbers are set flush right. Rows may be shorter than the header.
struct Table {
  std::string title = {};
  std::vector<std::string> header = {};
  std::vector<std::vector<std::string>> rows = {};
  std::string note = {};
};

/// Wall and processor seconds of a phase over the whole run.
struct Timing {
  std::string phase;
  double wall_s = 0.0;
  double cpu_s = kNotScored;
};

struct Note {
  enum class Level { info, warning, error };
  Level level = Level::info;
  std::string text;
};

/// Something a monitor found: what happened, when, and what to turn.
struct Finding {
  std::string title;
  std::string text;
  std::string when;  // "since iteration 10", "iterations 10 to 20"
  std::string advice;
  bool over = false;  // it has gone away again
};

/// The page's first section; left out while both are empty.
struct Health {
  std::vector<Finding> findings;
  std::string watched;  // what was looked at
};

struct Report {
  std::string title;
  std::string subtitle;
  std::string status;  // "succeeded", "running", "stopped", "failed"
  std::vector<Fact> headline;
  Health health;
  std::vector<Comparison> comparisons;
  std::vector<Chart> charts;
  std::vector<GridPair> grids;
  std::vector<Table> tables;
  std::vector<Timing> timings;
  Json job;
  std::vector<Note> notes;
};

/// The report for programs, which the page (page.h) carries in its script "report-data": numbers in full
/// (of a curve above 4000 points those that keep its extremes), pictures and clips as the sha256 of their
/// bytes. Only what is named time_* may differ between a run and its repetition.
Json report_data(const Report& report);

}  // namespace thalweg
