// Monitors: alarms over the rows of metrics.jsonl. A function of those rows alone, so that a resumed run,
// which reads back the rows it has, raises the same alarms as one that was never stopped.
#pragma once

#include <string>
#include <vector>

#include "engine/core/fields.h"
#include "engine/core/json.h"
#include "pipelines/stages/event.h"
#include "pipelines/training/readings.h"

namespace thalweg {

/// The job's section `monitors`: the threshold of each alarm, 0: the alarm is off. Units are the table's
/// (monitors.cpp), which also says why each has the value it has.
struct MonitorSection {
  double reward_hacking = 3.0, reward_starved = 3.0, reward_saturated = 0.2, zero_variance = 0.8,
         diversity_collapse = 0.5, edge_density_drop = 0.4, edge_density_rise = 2.5, image_entropy_drop = 0.5,
         image_entropy_rise = 1.6, saturation_shift = 0.2, brightness_shift = 0.2, constant_images = 0.2,
         motion_drop = 0.4, gradient_explosion = 10.0, updates_skipped = 2.0, clip_fraction = 0.9,
         approx_kl = 10.0;
};
void describe(Fields& fields, MonitorSection& monitors);

/// What the bounds of the keys cannot say. Throws Error at /monitors.
void check_monitors(const MonitorSection& monitors);

struct Alarm {
  std::string type, title, text, advice;
  int64_t since = 0, until = -1;  // iterations; -1: still raised at the end
  Reading reading;                // when it was raised
  double threshold = 0.0;
};

class Monitors {
 public:
  /// `names_K` and `weights_K` are the reward set's.
  Monitors(const MonitorSection& section, const std::vector<std::string>& names_K,
           const std::vector<double>& weights_K, double clip_range);

  /// Takes the next row (its "step", "kind" and numbers; null is NaN). An alarm is raised at severity 1 and
  /// cleared below 3/4: one event each.
  std::vector<Event> observe(const Json& row);

  /// Every alarm raised so far, in order.
  const std::vector<Alarm>& alarms() const { return alarms_; }
  bool has_held_out() const { return !history_.held_out.empty(); }

 private:
  MonitorSection section_;
  MonitorHistory history_;
  std::vector<Alarm> alarms_;
};

}  // namespace thalweg
