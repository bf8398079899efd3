#include "rewards/reward_set.h"

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/core/names.h"
#include "rewards/combine/weighted.h"
#include "rewards/differentiable.h"
#include "rewards/library.h"
#include "rewards/plugin.h"
#include "rewards/stray_output.h"

namespace thalweg {
namespace {

constexpr double kMostWeight = 1e6;

/// Weights of the reward's dimensions as the entry asks for them.
std::vector<double> dimension_weights(const RewardSpec& spec, const std::vector<std::string>& names) {
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
  return weights;
}

}  // namespace

void describe(Fields& fields, RewardSpec& spec) {
  spec.pointer = fields.pointer();
  fields.text({"plugin", "name of an installed reward plugin, or path of a .so file", true}, spec.plugin);
  fields.text({"id", "which reward of a library that holds several; the first when empty"}, spec.id);
  fields.number({"weight", "in the combined reward; 0 scores it for the curves alone"}, spec.weight,
                -kMostWeight, kMostWeight);
  fields.numbers({"dimensions", "weights of its dimensions by name; when empty its first, with weight 1"},
                 spec.dimensions, -kMostWeight, kMostWeight);
  fields.foreign({"config", "the plugin's own configuration"}, spec.config);
  fields.object({"transform", "applied to each dimension before combining"},
                [&](Fields& f) { describe(f, spec.transform); });
  fields.choice({"isolation", "inproc: load a library from outside the installation into this process"},
                spec.isolation, {"", "inproc"});
}

bool wants_frames(const std::vector<RewardSpec>& specs,
                  const std::vector<std::filesystem::path>& plugin_dirs) {
  return std::any_of(specs.begin(), specs.end(), [&](const RewardSpec& spec) {
    const auto& dimensions = spec.dimensions;
    const bool has_weight =
        spec.weight != 0.0 &&
        (dimensions.empty() ||
         std::any_of(dimensions.begin(), dimensions.end(), [](const auto& d) { return d.second != 0.0; }));
    if (!has_weight) return false;
    const auto file = find_plugin(spec.plugin, plugin_dirs, spec.isolation, spec.pointer);
    const auto& descriptor = PluginLibrary::open(file.path).descriptor(spec.id, spec.pointer);
    return ((descriptor.required_inputs | descriptor.optional_inputs) & THALWEG_INPUT_FRAMES) != 0;
  });
}

RewardSet::RewardSet(std::vector<RewardSpec> specs, const std::vector<std::filesystem::path>& plugin_dirs,
                     const Activation& activation) {
  for (auto& spec : specs) {
    if (!std::isfinite(spec.weight)) throw Error(spec.pointer + "/weight", "must be a finite number");
    const auto file = find_plugin(spec.plugin, plugin_dirs, spec.isolation, spec.pointer);
    Member member{std::move(spec), file.name, nullptr, static_cast<int64_t>(names_K_.size())};
    const auto& pointer = member.spec.pointer;
    member.model =
        std::make_shared<RewardModel>(file.path, member.spec.config, activation,
                                      pointer.empty() ? file.path.string() : pointer, member.spec.id);
    add_columns(member);
    members_.push_back(std::move(member));
  }
}

void RewardSet::add_columns(const Member& member) {
  const auto& dimensions = member.model->dimension_names();
  const auto weights = dimension_weights(member.spec, dimensions);
  for (size_t k = 0; k < dimensions.size(); ++k) {
    const std::string plain = member.name + "/" + dimensions[k];
    std::string name = plain;
    for (int n = 2; std::find(names_K_.begin(), names_K_.end(), name) != names_K_.end(); ++n)
      name = plain + "#" + std::to_string(n);
    names_K_.push_back(name);
    weights_K_.push_back(member.spec.weight * weights[k]);
  }
}

RewardSet::~RewardSet() {
  while (!members_.empty()) members_.pop_back();
}

RewardBatch RewardSet::score(const ScoreInput& input) {
  const std::lock_guard lock(mutex_);
  std::vector<at::Tensor> values;
  std::vector<RewardFailure> failures;
  // From a GPU once for all rewards that take tensors on the CPU.
  const bool any_on_cpu = std::any_of(members_.begin(), members_.end(),
                                      [](const auto& member) { return member.model->inputs_on().is_cpu(); });
  const auto host_input = any_on_cpu ? input.on_host() : ScoreInput{};
  for (const auto& member : members_)
    values.push_back(score_member(member, member.model->inputs_on().is_cpu() ? host_input : input, failures));
  if (values.empty()) return make_reward_batch({}, at::empty({input.batch(), 0}));
  auto batch = make_reward_batch(names_K_, at::cat(values, 1));
  batch.failures = std::move(failures);
  return batch;
}

at::Tensor RewardSet::score_member(const Member& member, const ScoreInput& input,
                                   std::vector<RewardFailure>& failures) const {
  std::vector<RewardModel::Failure> found;
  take_stray_output();  // not of this call
  const auto values_BK = member.model->score(input, &found);
  if (!take_stray_output().empty()) found.push_back({"printed to standard output", 0, -1});
  for (const auto& failure : found) {
    const bool counts =
        failure.dimension < 0 || weights_K_[static_cast<size_t>(member.first + failure.dimension)] != 0.0;
    if (counts) add_failures(failures, {{member.name, failure.reason, failure.samples, 1}});
  }
  return values_BK;
}

std::vector<double> RewardSet::weights_of(const Member& member) const {
  const auto begin = weights_K_.begin() + member.first;
  return {begin, begin + static_cast<int64_t>(member.model->dimension_names().size())};
}

bool RewardSet::has_weight(const Member& member) const {
  const auto weights = weights_of(member);
  return std::any_of(weights.begin(), weights.end(), [](double w) { return w != 0.0; });
}

at::Tensor RewardSet::member_values(const Member& member, const ScoreInput& input,
                                    std::vector<RewardFailure>& failures) const {
  if (!input.frames_BF3HW.requires_grad() && !input.latents_BCFHW.requires_grad())
    return score_member(member, input, failures);
  if (!member.model->has_gradient())
    throw Error(member.spec.pointer, "\"" + member.name + "\" has no gradient");
  const auto values_BK = differentiable_score(member.model, input);
  if (const auto error = member.model->last_error(); !error.empty())
    add_failures(failures, {{member.name, error, input.batch(), 1}});
  return values_BK;
}

at::Tensor RewardSet::value(const ScoreInput& input, std::vector<RewardFailure>& failures) {
  const std::lock_guard lock(mutex_);
  auto total_B = at::zeros({input.batch()}, at::kDouble);
  for (const auto& member : members_) {
    if (!has_weight(member)) continue;
    const auto& dimensions = member.model->dimension_names();
    const auto raw = make_reward_batch(dimensions, member_values(member, input, failures));
    total_B = total_B + weighted(apply_transform(member.spec.transform, raw), weights_of(member)).total_B;
  }
  return total_B;
}

std::vector<std::string> RewardSet::without_gradient() const {
  std::vector<std::string> names;
  for (const auto& member : members_)
    if (has_weight(member) && !member.model->has_gradient()) names.push_back(member.name);
  return names;
}

std::vector<std::string> RewardSet::without_noisy_latents() const {
  std::vector<std::string> names;
  for (const auto& member : members_) {
    const auto needed = member.model->required_inputs();
    const bool of_latents = std::find(needed.begin(), needed.end(), "latents") != needed.end();
    if (has_weight(member) && !of_latents) names.push_back(member.name);
  }
  return names;
}

bool RewardSet::wants_frames() const {
  return std::any_of(members_.begin(), members_.end(), [&](const Member& member) {
    auto inputs = member.model->required_inputs();
    for (const auto& name : member.model->optional_inputs()) inputs.push_back(name);
    return has_weight(member) && std::find(inputs.begin(), inputs.end(), "frames") != inputs.end();
  });
}

RewardBatch RewardSet::transform(const RewardBatch& raw) const {
  if (raw.names_K != names_K_)
    throw Error("", "a reward batch of other rewards cannot be transformed by these");
  if (members_.empty()) return raw;
  std::vector<RewardBatch> parts;
  for (const auto& member : members_) {
    const auto count = static_cast<int64_t>(member.model->dimension_names().size());
    parts.push_back(apply_transform(member.spec.transform, columns(raw, member.first, count)));
  }
  return concatenate_columns(parts);
}

}  // namespace thalweg
