#include "pipelines/score/trial.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/core/clock.h"
#include "engine/core/error.h"
#include "pipelines/clip.h"
#include "rewards/plugin.h"
#include "rewards/reward_set.h"

namespace thalweg {
namespace {

constexpr size_t kMostBytes = size_t{4} << 20;  // of a job, as everywhere

void require_inputs(const RewardMember& member, bool has_prompts) {
  const auto& required = member.reward->info().required;
  const auto& name = member.reward->info().name;
  if (required.prompts && !has_prompts)
    throw Error("--prompt", name +
                                " scores a picture for its prompt: give --prompt TEXT for all pictures, or "
                                "--prompts FILE with one a picture");
  if (member.reward->info().least_of_group > 0)
    throw Error(member.spec.pointer,
                name +
                    " compares the pictures of a prompt: a `score` job whose \"batch_size\" holds "
                    "them tries it");
  if (required.latents)
    throw Error(member.spec.pointer,
                name +
                    " scores noisy latents, which pictures have not; it is tried by a job "
                    "whose steering follows it");
  if (required.reference || required.mask)
    throw Error(member.spec.pointer,
                name +
                    " scores what was made of a reference or within a mask: a `score` job "
                    "takes them from a manifest");
}

// The reasons of one call that concern column `k`.
std::string reason_of(const std::vector<CallFailure>& failures, int64_t k) {
  std::string text;
  for (const auto& failure : failures)
    if (failure.samples > 0 && (failure.dimension < 0 || failure.dimension == k))
      text += (text.empty() ? "" : "; ") + failure.reason;
  return text.empty() ? "it left the value out" : text;
}

// One reward's columns of the pictures `first` and on.
void take_values(TriedRewards& tried, const Scored& scored, int64_t first, int64_t column) {
  const auto values = scored.values_BK.to(at::kDouble).contiguous();
  for (int64_t b = 0; b < values.size(0); ++b)
    for (int64_t k = 0; k < values.size(1); ++k) {
      auto& picture = tried.pictures[static_cast<size_t>(first + b)];
      const double value = values[b][k].item<double>();
      const auto at = static_cast<size_t>(column + k);
      if (std::isfinite(value))
        picture.values_K[at] = value;
      else
        picture.reasons_K[at] = reason_of(scored.failures, k);
    }
}

class Trial {
 public:
  Trial(std::vector<RewardMember> members, const PromptList& prompts, const TrialOptions& options)
      : members_(std::move(members)), prompts_(prompts), options_(options) {
    tried.names_K = RewardSet(members_).names_K();
    for (const auto& member : members_) tried.calls.push_back({member.reward->info().name});
  }

  // Of one size and rate, [F,3,H,W] each.
  void score(const std::vector<at::Tensor>& pictures, double fps) {
    const auto first = static_cast<int64_t>(tried.pictures.size());
    const auto K = tried.names_K.size();
    tried.pictures.resize(tried.pictures.size() + pictures.size(),
                          {std::vector<std::optional<double>>(K), std::vector<std::string>(K)});
    const auto input = input_of(pictures, first, fps);
    if (first == 0) first_input_ = input.slice(0, 1);
    int64_t column = 0;
    for (size_t i = 0; i < members_.size(); ++i) {
      const double begin = wall_seconds();
      const auto scored = members_[i].reward->score(input);
      auto& calls = tried.calls[i];
      (calls.calls == 0 ? calls.first_s : calls.others_s) += wall_seconds() - begin;
      ++calls.calls;
      take_values(tried, scored, first, column);
      column += scored.values_BK.size(1);
    }
  }

  void try_gradients() {
    size_t column = 0;
    for (const auto& member : members_) {
      const auto& info = member.reward->info();
      for (size_t k = 0; k < info.dimensions_K.size(); ++k, ++column) {
        if (info.gradient_of == GradientOf::none) continue;
        tried.gradients.push_back(try_gradient(*member.reward, first_input_, static_cast<int64_t>(k)));
        tried.gradients.back().dimension = tried.names_K[column];
      }
    }
  }

  TriedRewards tried;

 private:
  ScoreInput input_of(const std::vector<at::Tensor>& pictures, int64_t first, double fps) const {
    ScoreInput input;
    input.frames_BF3HW = at::stack(pictures);
    input.fps = fps;
    input.occasion.phase = ScorePhase::score;
    for (int64_t i = first; i < first + input.batch(); ++i) {
      input.name_next(options_.seed, i);
      if (prompts_.prompts.empty()) continue;
      input.prompts.push_back(prompts_.prompts[static_cast<size_t>(i)]);
      input.metadata_json.push_back(prompts_.metadata_json[static_cast<size_t>(i)]);
    }
    return input;
  }

  const std::vector<RewardMember> members_;
  const PromptList& prompts_;
  const TrialOptions& options_;
  ScoreInput first_input_;
};

}  // namespace

std::vector<RewardSpec> reward_specs_of(const std::string& path) {
  return reward_specs_in(parse_json_file(path, kMostBytes), path);
}

std::vector<RewardSpec> reward_specs_in(const Json& json, const std::string& place) {
  std::vector<RewardSpec> specs;
  if (json.is_object() && json.contains("plugin")) {
    read_fields(json, "", [&](Fields& f) { describe(f, specs.emplace_back()); });
  } else if (json.is_object() && json.contains("rewards")) {
    read_fields({{"rewards", json.at("rewards")}}, "", [&](Fields& f) {
      f.list({"rewards", "", true}, specs, [](Fields& r, RewardSpec& spec) { describe(r, spec); });
    });
    if (specs.empty()) throw Error("/rewards", "names no reward");
  } else {
    throw Error(place,
                "must be a job with \"rewards\", or one reward of it: {\"plugin\": ..., \"config\": ...}");
  }
  return specs;
}

std::vector<RewardInfo> ready_rewards(const std::vector<RewardSpec>& specs, const RewardLog& log) {
  Activation activation;
  activation.log = log;
  std::vector<RewardInfo> infos;
  for (const auto& member : open_rewards(specs, installed_plugin_dirs(), activation))
    infos.push_back(member.reward->info());
  return infos;
}

TriedRewards try_rewards(const std::vector<RewardSpec>& specs, const std::vector<PictureFile>& files,
                         const PromptList& prompts, const TrialOptions& options) {
  Activation activation;
  activation.max_batch = options.batch;
  activation.seed = options.seed;
  activation.device = options.device;
  activation.log = options.log;
  auto members = open_rewards(specs, installed_plugin_dirs(), activation);
  for (const auto& member : members) require_inputs(member, !prompts.prompts.empty());
  Trial trial(std::move(members), prompts, options);
  std::vector<at::Tensor> together;
  double fps = 0.0;  // of those
  for (const auto& file : files) {
    auto clip = read_clip(file.path);
    if (!together.empty() && (static_cast<int64_t>(together.size()) == options.batch || fps != clip.fps ||
                              together.front().sizes() != clip.frames_F3HW.sizes()))
      trial.score(std::exchange(together, {}), fps);
    together.push_back(std::move(clip.frames_F3HW));
    fps = clip.fps;
  }
  if (!together.empty()) trial.score(together, fps);
  trial.try_gradients();
  return std::move(trial.tried);
}

}  // namespace thalweg
