// One function a monitor: what the history says, or nothing while there is too little of it. `threshold` is
// the job's, in the unit of the monitor's row (monitors.cpp).
#pragma once

#include <optional>

#include "pipelines/align/monitors.h"

namespace thalweg {

inline constexpr size_t kMonitorWindow = 3;  // rollouts averaged, at the start and now

std::optional<Reading> read_reward_hacking(const MonitorHistory& history, double threshold);
std::optional<Reading> read_reward_starved(const MonitorHistory& history, double threshold);
std::optional<Reading> read_reward_saturated(const MonitorHistory& history, double threshold);
std::optional<Reading> read_zero_variance(const MonitorHistory& history, double threshold);
std::optional<Reading> read_diversity_collapse(const MonitorHistory& history, double threshold);
std::optional<Reading> read_edge_density_drop(const MonitorHistory& history, double threshold);
std::optional<Reading> read_edge_density_rise(const MonitorHistory& history, double threshold);
std::optional<Reading> read_image_entropy_drop(const MonitorHistory& history, double threshold);
std::optional<Reading> read_image_entropy_rise(const MonitorHistory& history, double threshold);
std::optional<Reading> read_saturation_shift(const MonitorHistory& history, double threshold);
std::optional<Reading> read_brightness_shift(const MonitorHistory& history, double threshold);
std::optional<Reading> read_constant_images(const MonitorHistory& history, double threshold);
std::optional<Reading> read_gradient_explosion(const MonitorHistory& history, double threshold);
std::optional<Reading> read_updates_skipped(const MonitorHistory& history, double threshold);
std::optional<Reading> read_clip_fraction(const MonitorHistory& history, double threshold);
std::optional<Reading> read_approx_kl(const MonitorHistory& history, double threshold);

}  // namespace thalweg
