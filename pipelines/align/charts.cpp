#include "pipelines/align/charts.h"

#include <set>

#include "pipelines/training/aggregation.h"

namespace thalweg {
namespace {

// The named number of every row of a kind, by step.
Series series_of(const std::vector<Json>& rows, const std::string& kind, const std::string& key,
                 const std::string& name) {
  Series series;
  series.name = name;
  for (const auto& row : rows) {
    if (row.value("kind", "") != kind || !row.contains(key)) continue;
    series.points.emplace_back(row.at("step").get<double>(),
                               row.at(key).is_number() ? row.at(key).get<double>() : kNotScored);
  }
  return series;
}

Chart chart_of(const std::string& title, const std::string& y_label, std::vector<Series> series,
               const std::string& note) {
  Chart chart;
  chart.title = title;
  chart.y_label = y_label;
  chart.note = note;
  for (auto& s : series)
    if (!s.points.empty()) chart.series.push_back(std::move(s));
  return chart;
}

// Each number of held-out pictures as a multiple of the reference's.
Chart picture_chart(const AlignOptions& o, const std::vector<Json>& rows) {
  std::vector<Series> series;
  for (const auto& [key, name] : {std::pair{"edge_density", "edge density"},
                                  {"image_entropy", "entropy"},
                                  {"saturation", "saturation"},
                                  {"brightness", "brightness"},
                                  {"motion", "motion"}}) {
    auto s = series_of(rows, "eval", key, name);
    if (s.points.empty() || !(s.points.front().second > 0.0)) continue;
    const double base = s.points.front().second;
    for (auto& point : s.points) point.second /= base;
    series.push_back(std::move(s));
  }
  return chart_of("Held-out pictures", std::string("multiple of ") + reference_name(o), std::move(series),
                  "Means over the prompts of /prompts/select; 1: as before.");
}

// The trained reward and those of weight 0: they part when the reward is exploited.
Chart held_out_chart(const AlignContext& c, const std::vector<Json>& rows) {
  std::vector<Series> series = {series_of(rows, "eval", "reward", "trained")};
  for (size_t k = 0; k < c.training.rewards->names_K().size() && series.size() < 6; ++k)
    if (c.training.rewards->weights_K()[k] == 0.0)
      series.push_back(
          series_of(rows, "eval", c.training.rewards->names_K()[k], c.training.rewards->names_K()[k]));
  return chart_of(
      "Trained reward against held-out ones", "mean", std::move(series),
      "Prompts of /prompts/select. When the trained one rises and the others fall, the reward is being "
      "exploited.");
}

// Of every trained reward, where there are several, its rise on held-out prompts in standard errors of its
// first value: each has a scale of its own.
Chart trained_rewards_chart(const AlignContext& c, const std::vector<Json>& rows) {
  std::vector<Series> series;
  const auto& rewards = *c.training.rewards;
  for (const auto k : trained_columns(rewards.weights_K())) {
    const auto& name = rewards.names_K()[k];
    auto s = series_of(rows, "eval", name, name);
    const auto errors = series_of(rows, "eval", name + "_stderr", name);
    if (s.points.empty() || errors.points.empty() || !(errors.points.front().second > 0.0)) continue;
    const double first = s.points.front().second, error = errors.points.front().second;
    for (auto& point : s.points) point.second = (point.second - first) / error;
    if (series.size() < 8) series.push_back(std::move(s));
  }
  if (series.size() < 2) series.clear();
  return chart_of(
      "Trained rewards, each for itself", "standard errors", std::move(series),
      "Rise of the mean over the prompts of /prompts/select, in standard errors of the first mean. Below 0: "
      "given up for the others.");
}

// Metrics of the training that begin with `prefix`, named by what follows.
std::vector<Series> series_by_prefix(const std::vector<Json>& rows, const std::string& prefix) {
  std::vector<Series> series;
  std::set<std::string> seen;
  for (const auto& row : rows)
    if (row.value("kind", "") == "train")
      for (const auto& [key, value] : row.items())
        if (key.starts_with(prefix) && series.size() < 8 && seen.insert(key).second)
          series.push_back(series_of(rows, "train", key, key.substr(prefix.size())));
  return series;
}

// What ways to aggregate several rewards leave.
void add_aggregation_charts(const std::vector<Json>& rows, std::vector<Chart>& charts) {
  charts.push_back(chart_of("Rewards in the direction", "coefficient", series_by_prefix(rows, "alpha_"),
                            "Share that each reward has in the updates."));
  charts.push_back(chart_of("Gradients of two rewards", "cosine", series_by_prefix(rows, "cosine_"),
                            "Below 0: what improves one makes the other worse."));
}

}  // namespace

std::vector<Chart> charts_of(const AlignContext& c, const AlignSummary& s, const std::vector<Json>& rows) {
  const auto& o = c.options;
  std::vector<Chart> charts;
  charts.push_back(
      chart_of("Held-out reward", s.metric, {series_of(rows, "eval", s.metric, s.metric)},
               "Prompts of /prompts/select: they choose the checkpoint and are not those reported above."));
  if (s.has_held_out) charts.push_back(held_out_chart(c, rows));
  std::vector<Series> training = {series_of(rows, "train", "reward", "combined reward")};
  const auto& names = c.training.rewards->names_K();
  const auto show = [&](const std::string& name) {
    if (training.size() < 4) training.push_back(series_of(rows, "train", "reward_" + name, name));
  };
  for (const auto k : trained_columns(c.training.rewards->weights_K())) show(names[k]);
  for (size_t k = 0; k < names.size(); ++k)
    if (c.training.rewards->weights_K()[k] == 0.0) show(names[k]);
  charts.push_back(chart_of("Training reward", "mean", std::move(training),
                            "Means over each rollout; the prompts change, so it swings."));
  charts.push_back(trained_rewards_chart(c, rows));
  add_aggregation_charts(rows, charts);
  charts.push_back(
      chart_of("Loss", "policy loss", {series_of(rows, "train", "policy_loss", "policy loss")}, ""));
  charts.push_back(chart_of("Gradient norm", "norm before clipping",
                            {series_of(rows, "train", "grad_norm", "gradient norm")}, ""));
  charts.push_back(chart_of("Diversity", "root mean square difference",
                            {series_of(rows, "train", "diversity", "within groups"),
                             series_of(rows, "eval", "diversity", "across held-out prompts")},
                            "Of two pictures, as 8 x 8 thumbnails in [0, 1]; 0: all alike."));
  charts.push_back(picture_chart(o, rows));
  charts.push_back(chart_of("Reward within groups", "",
                            {series_of(rows, "train", "reward_std_mean", "standard deviation"),
                             series_of(rows, "train", "zero_std_ratio", "share of groups without spread")},
                            ""));
  return charts;
}

}  // namespace thalweg
