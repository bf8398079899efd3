#include "rewards/reward_set.h"

#include <algorithm>
#include <cmath>
#include <future>
#include <utility>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "rewards/combine/weighted.h"
#include "rewards/differentiable.h"
#include "rewards/groups.h"
#include "rewards/nan_filled.h"
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

RewardSet::RewardSet(std::vector<RewardMember> members, double fps) : fps_(fps) {
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
    comparing_K_.push_back(info.least_of_group > 0);
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

bool RewardSet::compares() const {
  return std::find(comparing_K_.begin(), comparing_K_.end(), true) != comparing_K_.end();
}

void RewardSet::refuse_comparing() const {
  for (const auto& member : members_)
    if (const auto& info = member.of.reward->info(); info.least_of_group > 0)
      throw Error(member.of.spec.pointer,
                  "\"" + info.name +
                      "\" compares the samples of a group, and here samples are alone: it is for align, "
                      "train_reward and score");
}

std::vector<double> RewardSet::weights_alone_K() const {
  auto weights = weights_K_;
  for (size_t k = 0; k < weights.size(); ++k)
    if (comparing_K_[k]) weights[k] = 0.0;
  return weights;
}

bool RewardSet::elsewhere() const {
  return std::any_of(members_.begin(), members_.end(),
                     [](const Member& member) { return member.of.reward->info().elsewhere; });
}

// Those that are computed elsewhere all at once, beside those that are computed here, one after the other.
std::vector<Scored> RewardSet::scored(const std::vector<const Member*>& members, const ScoreInput& input) {
  const auto on_cpu = [](const Member* member) { return member->of.reward->info().inputs_on.is_cpu(); };
  // From a GPU once for all rewards that take tensors on the CPU.
  const auto host_input =
      std::any_of(members.begin(), members.end(), on_cpu) ? input.on_host() : ScoreInput{};
  std::vector<Scored> scored(members.size());
  const auto ask = [&](size_t i) {
    auto& reward = *members[i]->of.reward;
    const auto& given = on_cpu(members[i]) ? host_input : input;
    scored[i] = reward.info().least_of_group > 0 ? score_groups(reward, given) : reward.score(given);
  };
  std::vector<size_t> here, there;
  for (size_t i = 0; i < members.size(); ++i)
    (members[i]->of.reward->info().elsewhere ? there : here).push_back(i);
  if (here.empty() && !there.empty()) {  // this thread would have nothing to do
    here.push_back(there.back());
    there.pop_back();
  }
  std::vector<std::future<void>> asked;
  for (const auto i : there) asked.push_back(std::async(std::launch::async, ask, i));
  for (const auto i : here) ask(i);
  for (auto& answer : asked) answer.get();
  return scored;
}

// The input, or `own`, a copy with the job's rate, where it is of a video and says none.
const ScoreInput& RewardSet::with_rate(const ScoreInput& input, ScoreInput& own) const {
  const auto& frames = input.frames_BF3HW;
  if (fps_ == 0.0 || input.fps != 0.0 || !frames.defined() || frames.size(1) == 1) return input;
  own = input;
  own.fps = fps_;
  return own;
}

RewardBatch RewardSet::score(const ScoreInput& given, Scoring which) const {
  ScoreInput own;
  const auto& input = with_rate(given, own);
  std::vector<const Member*> asked;
  for (const auto& member : members_) {
    const bool compares = member.of.reward->info().least_of_group > 0;
    if (which == Scoring::all || compares == (which == Scoring::groups)) asked.push_back(&member);
  }
  const auto by_member = scored(asked, input);
  auto values_BK = nan_filled({input.batch(), static_cast<int64_t>(names_K_.size())}).to(at::kDouble);
  std::vector<RewardFailure> failures;
  for (size_t i = 0; i < asked.size(); ++i) {
    const auto weights = weights_K_.begin() + asked[i]->first;
    const auto count = static_cast<int64_t>(asked[i]->weights_k.size());
    add_failures(failures, counted(asked[i]->of.reward->info().name, {weights, weights + count},
                                   by_member[i].failures));
    values_BK.narrow(1, asked[i]->first, count).copy_(by_member[i].values_BK);
  }
  auto batch = make_reward_batch(names_K_, values_BK);
  batch.failures = std::move(failures);
  return batch;
}

at::Tensor RewardSet::value(const ScoreInput& given, RewardUse use,
                            const std::shared_ptr<FailureSink>& sink) const {
  ScoreInput own;
  const auto& input = with_rate(given, own);
  const bool differentiate = input.frames_BF3HW.requires_grad() || input.latents_BCFHW.requires_grad();
  auto total_B = at::zeros({input.batch()}, at::kDouble);
  const auto following = members(use);
  for (const auto* member : following)
    if (member->of.reward->info().least_of_group > 0)
      throw Error(member->of.spec.pointer,
                  "\"" + member->of.reward->info().name +
                      "\" compares the finished samples of a group; steering follows rewards "
                      "that score a sample by itself");
  const auto by_member = differentiate ? std::vector<Scored>{} : scored(following, input);
  for (size_t i = 0; i < following.size(); ++i) {
    const auto& member = *following[i];
    const auto& reward = member.of.reward;
    const auto& info = reward->info();
    const auto report = [sink, name = info.name, weights_k = member.weights_k](const auto& failures) {
      sink->add(counted(name, weights_k, failures));
    };
    at::Tensor values_BK;
    if (differentiate) {
      if (info.gradient_of == GradientOf::none)
        throw Error(member.of.spec.pointer, "\"" + info.name + "\" has no gradient");
      values_BK = differentiable_score(reward, input, report);
    } else {
      report(by_member[i].failures);
      values_BK = by_member[i].values_BK;
    }
    const auto raw = make_reward_batch(info.dimensions_K, values_BK);
    total_B = total_B + weighted(apply_transform(member.of.spec.transform, raw), member.weights_k).total_B;
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
