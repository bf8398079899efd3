// One function a monitor: what the history says, or nothing while there is too little of it. `threshold` is
// the job's, in the unit of the monitor's row (monitors.cpp).
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/json.h"

namespace thalweg {

/// What a monitor saw: `severity` is 0 at the baseline and 1 at the threshold, infinite beyond all measure;
/// NaN: nothing can be said.
struct Reading {
  double severity = 0.0, baseline = 0.0, now = 0.0;
  std::string metric;  // of metrics.jsonl
  std::string text;    // in plain words, without the advice
};

/// Rows that the monitors look back at.
struct MonitorHistory {
  std::vector<std::string> trained, held_out;  // reward columns by weight: not 0, 0
  std::vector<double> trained_weights;
  double clip_range = 0.0;        // of the ratio; 0: the method has none
  std::vector<Json> first_train;  // the first 3
  std::deque<Json> train;         // the last 20
  std::vector<Json> evaluations;  // all; the first is the model as loaded
};

inline constexpr size_t kMonitorWindow = 3;  // rollouts averaged, at the start and now

std::optional<Reading> read_reward_hacking(const MonitorHistory& history, double threshold);
std::optional<Reading> read_reward_starved(const MonitorHistory& history, double threshold);
std::optional<Reading> read_reward_saturated(const MonitorHistory& history, double threshold);
std::optional<Reading> read_zero_variance(const MonitorHistory& history, double threshold);
std::optional<Reading> read_diversity_collapse(const MonitorHistory& history, double threshold);
std::optional<Reading> read_edge_density(const MonitorHistory& history, double threshold);
std::optional<Reading> read_image_entropy(const MonitorHistory& history, double threshold);
std::optional<Reading> read_saturation_shift(const MonitorHistory& history, double threshold);
std::optional<Reading> read_brightness_shift(const MonitorHistory& history, double threshold);
std::optional<Reading> read_constant_images(const MonitorHistory& history, double threshold);
std::optional<Reading> read_motion(const MonitorHistory& history, double threshold);
std::optional<Reading> read_gradient_explosion(const MonitorHistory& history, double threshold);
std::optional<Reading> read_updates_skipped(const MonitorHistory& history, double threshold);
std::optional<Reading> read_clip_fraction(const MonitorHistory& history, double threshold);
std::optional<Reading> read_approx_kl(const MonitorHistory& history, double threshold);

}  // namespace thalweg
