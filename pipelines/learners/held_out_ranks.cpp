#include "pipelines/learners/held_out_ranks.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "engine/core/device.h"
#include "engine/core/rng.h"
#include "engine/core/statistics.h"
#include "pipelines/learners/outcome_pool.h"
#include "pipelines/report/format.h"

namespace thalweg {
namespace {

double mean_of_numbers(const std::vector<double>& values) {
  double sum = 0.0, count = 0.0;
  for (const double value : values)
    if (std::isfinite(value)) sum += value, ++count;
  return count > 0.0 ? sum / count : std::nan("");
}

// "0.1", "0.25".
std::string level_name(double sigma) {
  char text[16];
  std::snprintf(text, sizeof text, "%.3g", sigma);
  return text;
}

// Of the named number, over all rows that have it.
Series series_of(const std::vector<Json>& rows, const std::string& key, const std::string& name) {
  Series series;
  series.name = name;
  for (const auto& row : rows)
    if (row.contains(key) && row.at(key).is_number())
      series.points.emplace_back(row.at("step").get<double>(), row.at(key).get<double>());
  return series;
}

}  // namespace

HeldOutRanks::HeldOutRanks(RewardTraining& training, int64_t group_size, int64_t levels,
                           RewardTraining::StepOf kept_step)
    : t_(training), group_size_(group_size), levels_(levels), kept_step_(std::move(kept_step)) {}

HeldOutRanks::States HeldOutRanks::states_at(const Outcomes& o, int64_t level) const {
  const double sigma = static_cast<double>(level + 1) / static_cast<double>(levels_ + 1);
  States states;
  std::vector<int64_t> slots;
  for (int64_t i = 0; i < o.x0_NCFHW.size(0); ++i) {
    if (o.sigma_N.defined()) {
      const double own = o.sigma_N[i].item<double>() * static_cast<double>(levels_ + 1) - 1.0;
      if (std::clamp<int64_t>(std::llround(own), 0, levels_ - 1) != level) continue;
    }
    states.rows.push_back(i);
    slots.push_back(i);
  }
  if (states.rows.empty()) return states;
  const auto index = at::tensor(states.rows, at::kLong);
  if (o.sigma_N.defined()) {
    states.x_BCFHW = o.state_NCFHW.index_select(0, index);
    states.sigma_B = o.sigma_N.index_select(0, index);
    return states;
  }
  const auto x0 = o.x0_NCFHW.index_select(0, index);
  states.sigma_B = at::full({x0.size(0)}, sigma, at::kDouble);
  // Step 0 is the updates' own.
  states.x_BCFHW = noised(x0, states.sigma_B,
                          normal_noise(t_.seed(), Purpose::training_noise, slots,
                                       static_cast<uint64_t>(level + 1), x0.sizes().slice(1)));
  return states;
}

std::vector<double> HeldOutRanks::values(const PromptSet& prompts, const Outcomes& o, const States& states,
                                         const NoisyValue& value) const {
  const auto total = static_cast<int64_t>(states.rows.size()), size = t_.options.parallel.micro_batch;
  std::vector<double> result(states.rows.size());
  t_.workers->for_each((total + size - 1) / size, [&](int64_t part) {
    const c10::NoGradGuard no_grad;
    const PhaseClock::Scope scope(t_.clock, "evaluation");
    const int64_t begin = part * size, end = std::min(begin + size, total);
    std::vector<int64_t> rows;
    for (int64_t i = begin; i < end; ++i)
      rows.push_back(o.prompt_N[static_cast<size_t>(states.rows[static_cast<size_t>(i)])]);
    const auto there = [&](const at::Tensor& x) {
      return on_device(x.slice(0, begin, end).contiguous(), t_.device());
    };
    const auto value_B =
        on_host(value(there(states.x_BCFHW), there(states.sigma_B), t_.conditioning_of(prompts, rows)));
    for (int64_t i = begin; i < end; ++i) result[static_cast<size_t>(i)] = value_B[i - begin].item<double>();
  });
  return result;
}

std::vector<LevelRanks> HeldOutRanks::of(const PromptSet& prompts, const NoisyValue& value) {
  auto known = drawn_.find(&prompts);
  if (known == drawn_.end())
    known = drawn_.emplace(&prompts, t_.held_out(prompts, group_size_, kept_step_)).first;
  const auto& outcomes = known->second;
  std::vector<LevelRanks> levels;
  for (int64_t level = 0; level < levels_; ++level) {
    const auto states = states_at(outcomes, level);
    const auto values_N = values(prompts, outcomes, states, value);
    std::vector<double> rewards_N, of_groups;
    for (const auto row : states.rows) rewards_N.push_back(outcomes.reward_N[row].item<double>());
    for (size_t i = 0; i < values_N.size(); i += static_cast<size_t>(group_size_)) {
      const auto from = static_cast<int64_t>(i), to = from + group_size_;
      of_groups.push_back(rank_correlation({values_N.begin() + from, values_N.begin() + to},
                                           {rewards_N.begin() + from, rewards_N.begin() + to}));
    }
    levels.push_back({static_cast<double>(level + 1) / static_cast<double>(levels_ + 1),
                      rank_correlation(values_N, rewards_N), mean_of_numbers(of_groups)});
  }
  return levels;
}

double HeldOutRanks::chosen(const std::vector<LevelRanks>& levels) {
  std::vector<double> groups;
  for (const auto& level : levels) groups.push_back(level.groups);
  return mean_of_numbers(groups);
}

Metrics HeldOutRanks::metrics(const std::vector<LevelRanks>& levels) {
  Metrics metrics = {{name(), chosen(levels)}};
  for (const auto& level : levels) {
    metrics.emplace_back("rank_correlation_" + level_name(level.sigma), level.all);
    metrics.emplace_back(std::string(name()) + "_" + level_name(level.sigma), level.groups);
  }
  return metrics;
}

Json HeldOutRanks::json(const std::vector<LevelRanks>& levels) {
  Json list = Json::array();
  for (const auto& level : levels)
    list.push_back({{"sigma", level.sigma}, {"rank_correlation", level.all}, {name(), level.groups}});
  return {{name(), chosen(levels)}, {"levels", list}};
}

void HeldOutRanks::report(const Json& held_out, const std::vector<Json>& rows, Report& report) {
  report.charts.push_back(
      {"Loss", "mean of the updates", "iteration", {series_of(rows, "loss", "loss")}, ""});
  const auto& levels = held_out.at("levels");
  Chart over_time{"Rank correlation among the samples of a prompt",
                  "Spearman's",
                  "iteration",
                  {},
                  "Prompts of /prompts/select; by noise level."};
  for (size_t i = 0; i < levels.size(); i += std::max<size_t>(1, (levels.size() + 5) / 6)) {
    const auto sigma = level_name(levels[i].at("sigma").get<double>());
    over_time.series.push_back(series_of(rows, std::string(name()) + "_" + sigma, "sigma " + sigma));
  }
  report.charts.push_back(std::move(over_time));
  Table table{"Process reward against the outcome, by noise level",
              {"sigma", "rank correlation", "among samples of a prompt"},
              {},
              "Spearman's correlation on the prompts of /prompts/eval, which nothing was chosen by."};
  const auto shown = [](const Json& value) {
    return value.is_number() ? format_number(value.get<double>()) : std::string("-");
  };
  for (const auto& level : levels)
    table.rows.push_back(
        {shown(level.at("sigma")), shown(level.at("rank_correlation")), shown(level.at(name()))});
  report.tables.push_back(std::move(table));
}

}  // namespace thalweg
