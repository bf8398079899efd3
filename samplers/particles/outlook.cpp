#include "samplers/particles/outlook.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include "samplers/flow_algebra.h"

namespace thalweg {
namespace {

Lookahead clean_value(const Velocity& velocity, const RewardValue& reward, const at::Tensor& x,
                      const Step& step, const Conditioning& c) {
  return look_ahead(velocity, reward, x, step, c, WithGradient::no);
}

Lookahead noisy_value(const Velocity&, const RewardValue& reward, const at::Tensor& x, const Step& step,
                      const Conditioning& c) {
  const c10::NoGradGuard no_grad;
  return {{}, {}, reward(x, step, c), {}};
}

}  // namespace

Outlook outlook_named(const std::string& name) {
  if (name == "clean_estimate") return {look_ahead, clean_value};
  TORCH_CHECK(name == "noisy_latents", "knows no outlook \"", name, "\"");
  return {look_at, noisy_value};
}

const std::vector<std::string>& outlook_names() {
  static const std::vector<std::string> names = {"clean_estimate", "noisy_latents"};
  return names;
}

at::Tensor final_rewards(const RewardValue& reward, const at::Tensor& x0, const Step& last,
                         const Conditioning& c) {
  const c10::NoGradGuard no_grad;
  return reward(x0, finished_step(last), c);
}

}  // namespace thalweg
