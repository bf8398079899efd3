#include "pipelines/aggregation/reward_heads.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "engine/optim/gradients.h"

namespace thalweg {
namespace {

// The trained reward of that name. Throws Error at `place`.
size_t trained_reward(const std::string& name, const std::vector<std::string>& names,
                      const std::string& place, std::set<size_t>& taken) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end())
    throw Error(place, "no trained reward is named \"" + name + "\"" + suggestion(name, names));
  const auto k = static_cast<size_t>(found - names.begin());
  if (!taken.insert(k).second) throw Error(place, "\"" + name + "\" is named twice");
  return k;
}

}  // namespace

void describe(Fields& f, HeadOptions& o) {
  f.integer(
      {"every",
       "updates from one where every reward's gradient is taken to the next; those between cost as much "
       "as one reward"},
      o.every, 1, 1000000);
  f.list({"groups", "rewards that share a gradient, their mean by weight"}, o.groups,
         [](Fields& g, RewardGroup& group) {
           g.text({"name", "of the group, in metrics", true}, group.name);
           g.texts({"rewards", "\"plugin/dimension\""}, group.rewards);
         });
}

Head mixed(const std::vector<Head>& heads, const std::vector<double>& coefficients) {
  TORCH_CHECK(!heads.empty() && heads.size() == coefficients.size(), "one coefficient a head");
  std::vector<double> c(heads.size(), 0.0), present(heads.size(), 0.0);
  double total = 0.0, count = 0.0;
  for (size_t k = 0; k < heads.size(); ++k) {
    if (!heads[k].weight_B.any().item<bool>()) continue;
    present[k] = 1.0;
    count += 1.0;
    total += c[k] = coefficients[k];
  }
  if (!(total > 0.0)) c = present, total = count;
  auto weight_B = at::zeros_like(heads[0].weight_B), weighted_B = at::zeros_like(weight_B);
  for (size_t k = 0; k < heads.size(); ++k) {
    if (c[k] == 0.0) continue;
    const auto part_B = heads[k].weight_B * (c[k] / total);
    weight_B += part_B;
    weighted_B += part_B * heads[k].advantage_B;
  }
  return {at::where(weight_B > 0.0, weighted_B / weight_B, 0.0), weight_B};
}

RewardHeads::RewardHeads(HeadOptions options, const GroupNorm& norm, const RewardSet& rewards)
    : options_(std::move(options)), norm_(norm) {
  const auto columns = trained_columns(rewards.weights_K());
  std::vector<std::string> names;
  std::vector<double> weights;
  for (const auto k : columns) {
    names.push_back(rewards.names_K()[k]);
    weights.push_back(std::fabs(rewards.weights_K()[k]));
  }
  if (names.empty()) {  // see trained_rewards
    add_head("reward", {0}, {1.0});
    return;
  }
  std::set<size_t> taken;
  for (size_t g = 0; g < options_.groups.size(); ++g) {
    const auto& group = options_.groups[g];
    const std::string place = "/method/aggregation/groups/" + std::to_string(g);
    if (group.rewards.empty()) throw Error(place + "/rewards", "names no reward");
    std::vector<size_t> members;
    for (size_t i = 0; i < group.rewards.size(); ++i)
      members.push_back(
          trained_reward(group.rewards[i], names, place + "/rewards/" + std::to_string(i), taken));
    if (std::find(names_.begin(), names_.end(), group.name) != names_.end())
      throw Error(place + "/name", "\"" + group.name + "\" is the name of another group");
    add_head(group.name, members, weights);
  }
  for (size_t k = 0; k < names.size(); ++k)
    if (!taken.contains(k)) add_head(names[k], {k}, weights);
  double mean = 0.0;
  for (const double w : weights_) mean += w / static_cast<double>(weights_.size());
  for (auto& w : weights_) w /= mean;
}

void RewardHeads::add_head(std::string name, const std::vector<size_t>& rewards,
                           const std::vector<double>& weights_K) {
  double total = 0.0;
  for (const auto k : rewards) total += weights_K[k];
  names_.push_back(std::move(name));
  weights_.push_back(total / static_cast<double>(rewards.size()));
  members_.emplace_back();
  for (const auto k : rewards) members_.back().push_back({k, weights_K[k] / total});
}

Advantages RewardHeads::advantages(const Scores& scores, Metrics& metrics) {
  const auto rewards = trained_rewards(scores);
  Advantages advantages;
  for (size_t k = 0; k < rewards.weights_K.size(); ++k) {
    const auto column = static_cast<int64_t>(k);
    const auto up_B = rewards.values_BK.select(1, column) * (rewards.weights_K[k] < 0.0 ? -1.0 : 1.0);
    advantages.heads.push_back(
        group_advantages(up_B, rewards.valid_BK.select(1, column), scores.group_B, norm_));
    check_masked(advantages.heads.back(), rewards.valid_BK.select(1, column));
  }
  const auto all = joined(advantages.heads);
  report_advantages(all, rewards.valid_BK.any(1), metrics);
  advantages.used_B = all.used_B;
  return advantages;
}

std::vector<Head> RewardHeads::heads(const Advantages& advantages, const Update& update) {
  std::vector<Head> heads;
  for (const auto& members : members_) {
    std::vector<Head> of_rewards;
    std::vector<double> shares;
    for (const auto& member : members) {
      of_rewards.push_back(head_of(advantages.heads.at(member.reward), update));
      shares.push_back(member.share);
    }
    heads.push_back(mixed(of_rewards, shares));
  }
  if (updates_ == 0 || updates_ >= options_.every) return heads;
  return {mixed(heads, mixture())};
}

TensorMap RewardHeads::direction(Gradients of_heads, Metrics& metrics) {
  // Without a gradient the update had no samples, and nothing follows from it.
  if (std::all_of(of_heads.begin(), of_heads.end(), [](const auto& g) { return g.empty(); })) return {};
  if (names_.size() == 1) return std::move(of_heads[0]);
  TensorMap direction;
  if (of_heads.size() == 1) {
    ++updates_;
    direction = std::move(of_heads[0]);
  } else {
    const auto gram_KK = inner_products(of_heads);
    measure(gram_KK, metrics);
    direction = combined(std::move(of_heads), solve(gram_KK, metrics));
    updates_ = alpha().empty() ? 0 : 1;
  }
  for (size_t k = 0; k < alpha().size(); ++k) latest_metric(metrics, "alpha_" + names_[k], alpha()[k]);
  return direction;
}

void RewardHeads::measure(const at::Tensor& gram_KK, Metrics& metrics) const {
  const auto G = gram_KK.accessor<double, 2>();
  const auto K = gram_KK.size(0);
  for (int64_t i = 0; i < K; ++i) {
    latest_metric(metrics, "grad_norm_" + names_[static_cast<size_t>(i)], std::sqrt(G[i][i]));
    for (int64_t j = i + 1; j < K; ++j) {
      const double scale = std::sqrt(G[i][i] * G[j][j]);
      if (scale > 0.0)
        latest_metric(metrics,
                      "cosine_" + names_[static_cast<size_t>(i)] + "_" + names_[static_cast<size_t>(j)],
                      G[i][j] / scale);
    }
  }
}

void RewardHeads::state(RunState& state) {
  state.integer("aggregation_updates", updates_);
  numbers(state, "aggregation", memory());
}

}  // namespace thalweg
