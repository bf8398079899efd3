#include "pipelines/methods/group_preference.h"

#include <ATen/ATen.h>

#include <utility>

#include "engine/losses/group_preference.h"
#include "engine/losses/nft.h"

namespace thalweg {

void describe(Fields& f, PreferenceOptions& o) {
  f.number({"beta",
            "strength of a group's preference in its weight sigmoid(mean A beta (l - l_ref)); 0: all groups "
            "weigh 1/2"},
           o.beta, 0.0, 1e6);
  f.choice({"reference",
            "what l_ref is of: the base model (beta 10 to 100), or the policy's average (beta 2000 to 5000)"},
           o.reference, {"base", "average"});
  f.number({"clip_range",
            "a sample stops teaching where exp(l_average - l) is further than this from 1 along "
            "its advantage"},
           o.clip_range, 1e-9, 10.0);
  f.number(
      {"base_limit",
       "squared velocity difference to the base model beyond which a sample no longer leads away; 0: none"},
      o.base_limit, 0.0, 1e6);
}

GroupPreference::GroupPreference(const PreferenceOptions& options, const Role& role, const Role& average,
                                 Velocity base)
    : o_(options), role_(role), average_(average), base_(std::move(base)) {}

void GroupPreference::weigh(const UpdateNoisings& all, std::vector<Head>& heads, Metrics& told) const {
  const auto& update = all.update;
  const auto learner = role_.velocity(), average = average_.velocity();
  const bool base = o_.base_limit > 0.0 || o_.reference == "base";
  const auto errors = all.measure(base ? 4 : 2, [&](const Noising& n) {
    const auto v = n.answer(learner), target = n.target();
    std::vector<at::Tensor> of_noising = {velocity_kl(v, target), velocity_kl(n.answer(average), target)};
    if (base) {
      const auto v_base = n.answer(base_);
      of_noising.insert(of_noising.end(), {velocity_kl(v_base, target), velocity_kl(v, v_base)});
    }
    return of_noising;
  });
  const auto &l = errors[0], &l_old = errors[1], &l_ref = o_.reference == "base" ? errors[2] : errors[1];
  for (auto& head : heads) {
    const auto A = head.advantage_B;
    const auto used_B = head.weight_B > 0.0;
    const auto w = dgpo_group_weight(l, l_ref, A, groups_of(update), used_B, o_.beta);
    const auto clipped = dgpo_clipped(l, l_old, A, o_.clip_range);
    const auto far = o_.base_limit > 0.0 ? dgpo_too_far(l, errors[2], errors[3], A, o_.base_limit)
                                         : at::zeros_like(clipped);
    head.advantage_B = at::where(at::logical_or(clipped, far), 0.0, w * A);
    const auto tell = [&](const char* name, const at::Tensor& of_TB) {
      const auto mean = (of_TB.to(at::kDouble) * head.weight_B).sum(1).mean().item<double>();
      add_metric(told, name, mean / static_cast<double>(heads.size()));
    };
    tell("group_weight", w);
    tell("ratio", (l_old - l).exp());
    tell("clipfrac", clipped);
    tell("base_clipfrac", far);
  }
}

}  // namespace thalweg
