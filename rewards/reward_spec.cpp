#include "rewards/reward_spec.h"

#include <algorithm>
#include <array>

namespace thalweg {
namespace {

constexpr double kMostWeight = 1e6;
constexpr std::array kUses = {RewardUse::train, RewardUse::guide, RewardUse::process, RewardUse::watch};

void describe_use(Fields& fields, RewardUse& use) {
  std::vector<std::string> names;
  for (const auto each : kUses) names.emplace_back(name_of(each));
  std::string name = name_of(use);
  fields.choice(
      {"use",
       "train: in the combined reward; guide: steering by clean estimates follows these instead of those of "
       "train; process: so does steering that scores noisy latents; watch: scored for the curves alone"},
      name, names);
  for (const auto each : kUses)
    if (name == name_of(each)) use = each;
}

}  // namespace

void describe(Fields& fields, RewardSpec& spec) {
  spec.pointer = fields.pointer();
  fields.text({"plugin", "name of an installed reward plugin, or path of a .so file", true}, spec.plugin);
  fields.text({"id", "which reward of a library that holds several; the first when empty"}, spec.id);
  describe_use(fields, spec.use);
  fields.number({"weight", "in the combined reward; 0 is the same as \"use\": \"watch\""}, spec.weight,
                -kMostWeight, kMostWeight);
  fields.numbers({"dimensions", "weights of its dimensions by name; when empty its first, with weight 1"},
                 spec.dimensions, -kMostWeight, kMostWeight);
  fields.foreign({"config", "the plugin's own configuration"}, spec.config);
  describe(fields, spec.frames);
  fields.object({"transform", "applied to each dimension before combining"},
                [&](Fields& f) { describe(f, spec.transform); });
  fields.choice({"isolation",
                 "process: in a process of its own; inproc: in this one, which it can crash; when empty, "
                 "the installation's own libraries run in this process, what is from outside and what speaks "
                 "to servers does not"},
                spec.isolation, {"", "inproc", "process"});
  fields.object({"host", "what a process of its own may take"}, [&](Fields& f) { describe(f, spec.host); });
}

RewardUse use_of(const RewardSpec& spec) {
  const auto& dimensions = spec.dimensions;
  const bool has_weight = spec.weight != 0.0 &&
                          (dimensions.empty() || std::any_of(dimensions.begin(), dimensions.end(),
                                                             [](const auto& d) { return d.second != 0.0; }));
  return has_weight ? spec.use : RewardUse::watch;
}

const char* name_of(RewardUse use) {
  switch (use) {
    case RewardUse::train:
      return "train";
    case RewardUse::guide:
      return "guide";
    case RewardUse::process:
      return "process";
    case RewardUse::watch:
      break;
  }
  return "watch";
}

std::vector<size_t> serving(const std::vector<RewardUse>& uses, RewardUse use) {
  std::vector<size_t> found;
  for (size_t i = 0; i < uses.size(); ++i)
    if (uses[i] == use) found.push_back(i);
  const bool steers = use == RewardUse::guide || use == RewardUse::process;
  return found.empty() && steers ? serving(uses, RewardUse::train) : found;
}

std::vector<size_t> serving(const std::vector<RewardSpec>& specs, RewardUse use) {
  std::vector<RewardUse> uses;
  for (const auto& spec : specs) uses.push_back(use_of(spec));
  return serving(uses, use);
}

}  // namespace thalweg
