#include "pipelines/training/readings.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>

#include "engine/core/statistics.h"

namespace thalweg {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN(),
                 kInfinity = std::numeric_limits<double>::infinity();

double number(const Json& row, const std::string& key) {
  const auto found = row.find(key);
  return found != row.end() && found->is_number() ? found->get<double>() : kNan;
}

// Whether the row has the key, and no finite number there: in a file NaN and infinity are null.
bool diverged(const Json& row, const std::string& key) {
  return row.contains(key) && !std::isfinite(number(row, key));
}

std::string shown(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

std::string from_to(const std::string& name, double from, double to) {
  return name + " went from " + shown(from) + " to " + shown(to);
}

template <typename Rows>
double mean_of(const Rows& rows, size_t begin, const std::string& key) {
  double sum = 0.0;
  for (size_t i = begin; i < rows.size(); ++i) sum += number(rows[i], key);
  return sum / static_cast<double>(rows.size() - begin);
}

struct Means {
  double first, last;
};

// Of the first and the last rollouts; none while the two overlap.
std::optional<Means> train_means(const MonitorHistory& h, const std::string& key) {
  if (h.train.size() < 2 * kMonitorWindow) return std::nullopt;
  return Means{mean_of(h.first_train, 0, key), mean_of(h.train, h.train.size() - kMonitorWindow, key)};
}

std::optional<double> recent_mean(const MonitorHistory& h, const std::string& key) {
  if (h.train.size() < kMonitorWindow) return std::nullopt;
  return mean_of(h.train, h.train.size() - kMonitorWindow, key);
}

// Severity of a value that may fall from 1 to `threshold` (below 1) or rise from 1 to it.
double ratio_severity(double now, double baseline, double threshold) {
  if (!(baseline > 0.0) || threshold == 1.0) return kNan;
  return (now / baseline - 1.0) / (threshold - 1.0);
}

std::optional<Means> evaluation_pair(const MonitorHistory& h, const std::string& key) {
  if (h.evaluations.size() < 2) return std::nullopt;
  return Means{number(h.evaluations.front(), key), number(h.evaluations.back(), key)};
}

std::optional<Reading> evaluation_ratio(const MonitorHistory& h, const std::string& key,
                                        const std::string& name, double threshold) {
  const auto pair = evaluation_pair(h, key);
  if (!pair) return std::nullopt;
  return Reading{ratio_severity(pair->last, pair->first, threshold), pair->first, pair->last, key,
                 from_to(name + " of held-out pictures", pair->first, pair->last) + "."};
}

std::optional<Reading> evaluation_shift(const MonitorHistory& h, const std::string& key,
                                        const std::string& name, double threshold) {
  const auto pair = evaluation_pair(h, key);
  if (!pair) return std::nullopt;
  return Reading{std::fabs(pair->last - pair->first) / threshold, pair->first, pair->last, key,
                 from_to(name + " of held-out pictures", pair->first, pair->last) + "."};
}

// (to - from) in standard errors of the difference.
double standardised(const Json& from, const Json& to, const std::string& key) {
  const double difference = number(to, key) - number(from, key);
  const double error = std::hypot(number(from, key + "_stderr"), number(to, key + "_stderr"));
  return difference == 0.0 && error == 0.0 ? 0.0 : difference / std::max(error, 1e-12);
}

// The column of `names` that has fallen furthest below its best evaluation while the combined reward is at
// least 2 standard errors above the loaded model's. `sign` of a column: which way is down for training.
std::optional<Reading> worst_fall(const MonitorHistory& h, const std::vector<std::string>& names,
                                  const std::function<double(size_t)>& sign, double threshold) {
  constexpr double kRise = 2.0;
  if (h.evaluations.size() < 2 || names.empty()) return std::nullopt;
  const auto& base = h.evaluations.front();
  const auto& now = h.evaluations.back();
  const double risen = standardised(base, now, "reward") / kRise;
  std::optional<Reading> worst;
  for (size_t k = 0; k < names.size(); ++k) {
    const auto& name = names[k];
    const auto* best = &base;
    for (const auto& row : h.evaluations)
      if (sign(k) * number(row, name) > sign(k) * number(*best, name)) best = &row;
    const double fallen = -sign(k) * standardised(*best, now, name) / threshold;
    const double severity = std::min(risen, fallen);
    if (!std::isfinite(severity) || (worst && severity <= worst->severity)) continue;
    const double from = number(*best, name), to = number(now, name);
    worst = Reading{severity, from, to, name,
                    from_to("The trained reward", number(base, "reward"), number(now, "reward")) +
                        " on held-out prompts, while " + from_to(name, from, to) + "."};
  }
  return worst;
}

}  // namespace

std::optional<Reading> read_reward_hacking(const MonitorHistory& h, double threshold) {
  return worst_fall(
      h, h.held_out, [](size_t) { return 1.0; }, threshold);
}

std::optional<Reading> read_reward_starved(const MonitorHistory& h, double threshold) {
  if (h.trained.size() < 2) return std::nullopt;
  return worst_fall(
      h, h.trained, [&](size_t k) { return h.trained_weights[k] < 0.0 ? -1.0 : 1.0; }, threshold);
}

std::optional<Reading> read_reward_saturated(const MonitorHistory& h, double threshold) {
  const auto means = train_means(h, "reward_std_mean");
  if (!means) return std::nullopt;
  return Reading{ratio_severity(means->last, means->first, threshold), means->first, means->last,
                 "reward_std_mean",
                 from_to("The reward's deviation within groups", means->first, means->last) + "."};
}

std::optional<Reading> read_zero_variance(const MonitorHistory& h, double threshold) {
  const auto share = recent_mean(h, "zero_std_ratio");
  if (!share) return std::nullopt;
  return Reading{*share / threshold, 0.0, *share, "zero_std_ratio",
                 "In a share of " + shown(*share) + " of the groups all rewards are equal."};
}

std::optional<Reading> read_diversity_collapse(const MonitorHistory& h, double threshold) {
  const auto within = train_means(h, "diversity"), across = evaluation_pair(h, "diversity");
  const auto reading = [&](const Means& m, const std::string& name) {
    return Reading{ratio_severity(m.last, m.first, threshold), m.first, m.last, "diversity",
                   from_to(name, m.first, m.last) + " (root mean square difference of two pictures)."};
  };
  std::optional<Reading> worst;
  if (within) worst = reading(*within, "The difference of pictures of one prompt");
  if (across && std::isfinite(across->last)) {
    const auto held_out = reading(*across, "The difference of pictures of different held-out prompts");
    if (!worst || !(worst->severity >= held_out.severity)) worst = held_out;
  }
  return worst;
}

std::optional<Reading> read_edge_density(const MonitorHistory& h, double threshold) {
  return evaluation_ratio(h, "edge_density", "The edge density", threshold);
}

std::optional<Reading> read_image_entropy(const MonitorHistory& h, double threshold) {
  return evaluation_ratio(h, "image_entropy", "The histogram entropy", threshold);
}

std::optional<Reading> read_saturation_shift(const MonitorHistory& h, double threshold) {
  return evaluation_shift(h, "saturation", "The mean saturation", threshold);
}

std::optional<Reading> read_brightness_shift(const MonitorHistory& h, double threshold) {
  return evaluation_shift(h, "brightness", "The mean brightness", threshold);
}

std::optional<Reading> read_constant_images(const MonitorHistory& h, double threshold) {
  const auto pair = evaluation_pair(h, "constant_images");
  if (!pair) return std::nullopt;
  return Reading{(pair->last - pair->first) / threshold, pair->first, pair->last, "constant_images",
                 from_to("The share of held-out pictures of one flat colour", pair->first, pair->last) + "."};
}

// Silent where pictures are drawn: their rows have no motion.
std::optional<Reading> read_motion(const MonitorHistory& h, double threshold) {
  const auto pair = evaluation_pair(h, "motion");
  if (!pair) return std::nullopt;
  return Reading{
      ratio_severity(pair->last, pair->first, threshold), pair->first, pair->last, "motion",
      from_to("The mean difference of consecutive frames of held-out videos", pair->first, pair->last) + "."};
}

std::optional<Reading> read_gradient_explosion(const MonitorHistory& h, double threshold) {
  constexpr size_t kBefore = 5;
  if (!h.train.empty() && diverged(h.train.back(), "grad_norm"))
    return Reading{kInfinity, kNan, kInfinity, "grad_norm",
                   "The gradient is not finite: its update was skipped."};
  if (h.train.size() <= kBefore) return std::nullopt;
  std::vector<double> before;
  for (size_t i = 0; i + 1 < h.train.size(); ++i)
    if (const double norm = number(h.train[i], "grad_norm"); std::isfinite(norm)) before.push_back(norm);
  if (before.size() < kBefore) return std::nullopt;
  const double median = quantile(before, 0.5), now = number(h.train.back(), "grad_norm");
  return Reading{
      median > 0.0 ? now / median / threshold : kNan, median, now, "grad_norm",
      "The gradient norm is " + shown(now) + ", the median of the iterations before " + shown(median) + "."};
}

std::optional<Reading> read_updates_skipped(const MonitorHistory& h, double threshold) {
  if (h.train.size() < kMonitorWindow) return std::nullopt;
  double skipped = 0.0;
  for (size_t i = h.train.size() - kMonitorWindow; i < h.train.size(); ++i)
    skipped += number(h.train[i], "skipped_updates") > 0.0 ? 1.0 : 0.0;
  return Reading{skipped / threshold, 0.0, skipped, "skipped_updates",
                 "In " + shown(skipped) +
                     " of the last 3 iterations a gradient was not finite and its update was "
                     "skipped."};
}

std::optional<Reading> read_clip_fraction(const MonitorHistory& h, double threshold) {
  const auto share = recent_mean(h, "clipfrac");
  if (!share) return std::nullopt;
  return Reading{*share / threshold, 0.0, *share, "clipfrac",
                 "A share of " + shown(*share) + " of the ratios is outside the clip range."};
}

std::optional<Reading> read_approx_kl(const MonitorHistory& h, double threshold) {
  if (!h.train.empty() && h.clip_range > 0.0 && diverged(h.train.back(), "approx_kl"))
    return Reading{kInfinity, h.clip_range, kInfinity, "approx_kl", "The log-ratio is not finite."};
  const auto kl = recent_mean(h, "approx_kl");
  if (!kl || !(h.clip_range > 0.0)) return std::nullopt;
  const double root = std::sqrt(std::max(2.0 * *kl, 0.0));  // approx_kl is half the mean square
  return Reading{root / h.clip_range / threshold, h.clip_range, root, "approx_kl",
                 "The root mean square of the log-ratio is " + shown(root) + ", the clip range " +
                     shown(h.clip_range) + "."};
}

}  // namespace thalweg
