#include "rewards/reward_set.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "rewards/combine/weighted.h"
#include "rewards/differentiable.h"
#include "rewards/open_reward.h"

namespace thalweg {
namespace {

/// Weights of the reward's dimensions as the entry asks for them, the entry's own among them.
std::vector<double> dimension_weights(const RewardSpec& spec, const std::vector<std::string>& names) {
  if (!std::isfinite(spec.weight)) throw Error(spec.pointer + "/weight", "must be a finite number");
  if (names.empty()) throw Error(spec.pointer, "\"" + spec.plugin + "\" has no dimension");
  std::vector<double> weights(names.size(), 0.0);
  if (spec.dimensions.empty()) weights[0] = 1;
  for (const auto& [name, weight] : spec.dimensions) {
    const auto found = std::find(names.begin(), names.end(), name);
    const std::string place = spec.pointer + "/dimensions/" + pointer_token(name);
    if (found == names.end())
      throw Error(place, "\"" + spec.plugin + "\" has no such dimension" + suggestion(name, names));
    if (!std::isfinite(weight)) throw Error(place, "the weight must be a finite number");
    weights[static_cast<size_t>(found - names.begin())] = weight;
  }
  for (auto& weight : weights) weight *= spec.weight;
  return weights;
}

/// Of a reward's failures those that count: of whole calls, and of columns with a weight.
std::vector<RewardFailure> counted(const std::string& name, const std::vector<double>& weights_k,
                                   const std::vector<CallFailure>& failures) {
  std::vector<RewardFailure> counting;
  for (const auto& failure : failures)
    if (failure.dimension < 0 || weights_k[static_cast<size_t>(failure.dimension)] != 0.0)
      add_failures(counting, {{name, failure.reason, failure.samples, 1}});
  return counting;
}

}  // namespace

std::vector<RewardMember> open_rewards(const std::vector<RewardSpec>& specs,
                                       const std::vector<std::filesystem::path>& plugin_dirs,
                                       const Activation& activation) {
  std::vector<RewardMember> members;
  for (const auto& spec : specs) {
    members.push_back({spec, open_reward(spec, plugin_dirs, activation)});
    dimension_weights(spec,
                      members.back().reward->info().dimensions_K);  // before the next one loads a network
  }
  return members;
}

RewardSet::RewardSet(std::vector<RewardMember> members) {
  for (auto& each : members) {
    Member member{std::move(each), static_cast<int64_t>(names_K_.size())};
    member.weights_k = dimension_weights(member.of.spec, member.of.reward->info().dimensions_K);
    uses_.push_back(use_of(member.of.spec));
    add_columns(member);
    members_.push_back(std::move(member));
  }
}

void RewardSet::add_columns(const Member& member) {
  const auto& info = member.of.reward->info();
  const bool combined = use_of(member.of.spec) == RewardUse::train;
  for (size_t k = 0; k < info.dimensions_K.size(); ++k) {
    const std::string plain = info.name + "/" + info.dimensions_K[k];
    std::string name = plain;
    for (int n = 2; std::find(names_K_.begin(), names_K_.end(), name) != names_K_.end(); ++n)
      name = plain + "#" + std::to_string(n);
    names_K_.push_back(name);
    weights_K_.push_back(combined ? member.weights_k[k] : 0.0);
  }
}

RewardSet::~RewardSet() {
  while (!members_.empty()) members_.pop_back();
}

std::vector<const RewardSet::Member*> RewardSet::members(RewardUse use) const {
  std::vector<const Member*> found;
  for (const auto i : serving(uses_, use)) found.push_back(&members_[i]);
  return found;
}

std::vector<RewardInfo> RewardSet::infos(RewardUse use) const {
  std::vector<RewardInfo> infos;
  for (const auto* member : members(use)) infos.push_back(member->of.reward->info());
  return infos;
}

RewardBatch RewardSet::score(const ScoreInput& input) const {
  if (members_.empty()) return make_reward_batch({}, at::empty({input.batch(), 0}));
  const auto on_cpu = [](const Member& member) { return member.of.reward->info().inputs_on.is_cpu(); };
  // From a GPU once for all rewards that take tensors on the CPU.
  const auto host_input =
      std::any_of(members_.begin(), members_.end(), on_cpu) ? input.on_host() : ScoreInput{};
  std::vector<at::Tensor> values;
  std::vector<RewardFailure> failures;
  for (const auto& member : members_) {
    const auto scored = member.of.reward->score(on_cpu(member) ? host_input : input);
    const auto weights = weights_K_.begin() + member.first;
    add_failures(failures, counted(member.of.reward->info().name,
                                   {weights, weights + static_cast<int64_t>(member.weights_k.size())},
                                   scored.failures));
    values.push_back(scored.values_BK);
  }
  auto batch = make_reward_batch(names_K_, at::cat(values, 1));
  batch.failures = std::move(failures);
  return batch;
}

at::Tensor RewardSet::value(const ScoreInput& input, RewardUse use,
                            const std::shared_ptr<FailureSink>& sink) const {
  const bool differentiate = input.frames_BF3HW.requires_grad() || input.latents_BCFHW.requires_grad();
  auto total_B = at::zeros({input.batch()}, at::kDouble);
  const auto following = members(use);
  const auto on_cpu = [](const Member* member) { return member->of.reward->info().inputs_on.is_cpu(); };
  // From a GPU once for all rewards that take tensors on the CPU; a gradient has to find its way back.
  const auto host_input = !differentiate && std::any_of(following.begin(), following.end(), on_cpu)
                              ? input.on_host()
                              : ScoreInput{};
  for (const auto* member : following) {
    const auto& reward = member->of.reward;
    const auto& info = reward->info();
    const auto report = [sink, name = info.name, weights_k = member->weights_k](const auto& failures) {
      sink->add(counted(name, weights_k, failures));
    };
    at::Tensor values_BK;
    if (differentiate) {
      if (info.gradient_of == GradientOf::none)
        throw Error(member->of.spec.pointer, "\"" + info.name + "\" has no gradient");
      values_BK = differentiable_score(reward, input, report);
    } else {
      const auto scored = reward->score(on_cpu(member) ? host_input : input);
      report(scored.failures);
      values_BK = scored.values_BK;
    }
    const auto raw = make_reward_batch(info.dimensions_K, values_BK);
    total_B = total_B + weighted(apply_transform(member->of.spec.transform, raw), member->weights_k).total_B;
  }
  return total_B;
}

RewardBatch RewardSet::transform(const RewardBatch& raw) const {
  if (raw.names_K != names_K_)
    throw Error("", "a reward batch of other rewards cannot be transformed by these");
  if (members_.empty()) return raw;
  std::vector<RewardBatch> parts;
  for (const auto& member : members_) {
    const auto count = static_cast<int64_t>(member.weights_k.size());
    parts.push_back(apply_transform(member.of.spec.transform, columns(raw, member.first, count)));
  }
  return concatenate_columns(parts);
}

}  // namespace thalweg
