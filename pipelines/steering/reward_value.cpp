#include "pipelines/steering/reward_value.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "pipelines/stages/backward_phase.h"
#include "pipelines/steering/lost_gradients.h"

namespace thalweg {
namespace {

ScoreInput score_input(const RewardValueInput& in, const at::Tensor& x_BCFHW, const Step& step,
                       const Conditioning& c, int64_t begin) {
  ScoreInput input;
  const int64_t batch = x_BCFHW.size(0), end = begin + batch;
  input.latents_BCFHW = x_BCFHW;
  input.sigmas_B = step.sigma_B.slice(0, begin, end);
  input.step_index = static_cast<int>(step.index);
  input.num_steps = static_cast<int>(in.num_steps);
  input.prompts.assign(c.prompts.begin() + begin, c.prompts.begin() + end);
  if (!c.metadata_json.empty())
    input.metadata_json.assign(c.metadata_json.begin() + begin, c.metadata_json.begin() + end);
  input.occasion.phase = ScorePhase::steering;
  for (int64_t i = begin; i < end; ++i) {
    const auto slot = step.slot_B.at(static_cast<size_t>(i));
    input.name_next(in.seed, slot, in.times_scored[slot]++);
  }
  return input;
}

at::Tensor decoded_frames(const RewardValueInput& in, const at::Tensor& x) {
  PhaseClock::Scope scope(in.clock, "decode");
  const auto lost = [failures = in.failures](const at::Tensor& lost_B) {
    failures->add(
        {{"model", "the gradient through the decoder is not finite", lost_B.sum().item<int64_t>(), 1}});
  };
  return watching_gradients(
      x, [&](const at::Tensor& latents) { return in.model.decode(latents); }, lost);
}

// Counts the samples that get no gradient, whoever failed; `x` are those of the step from `begin` on.
void count_failed_gradients(const RewardValueInput& in, const at::Tensor& x, const at::Tensor& value_B,
                            const Step& step, int64_t begin) {
  if (!x.requires_grad()) return;
  x.register_hook([&cost = in.cost, scores = in.scores, step, begin,
                   scored_B = value_B.detach().isfinite()](const at::Tensor& gradient) {
    const auto lost_B = finite_samples(gradient).logical_and(scored_B).logical_not();
    cost.failed_gradients += lost_B.sum().item<int64_t>();
    if (scores) scores->lose(step, begin, lost_B);
  });
}

}  // namespace

RewardValue reward_value(const RewardValueInput& in) {
  const bool decoded = wants_frames(in.rewards.infos(in.use));
  return [in, decoded](const at::Tensor& x_BCFHW, const Step& step, const Conditioning& c) {
    const int64_t batch = x_BCFHW.size(0);
    count_reward(x_BCFHW, in.cost);
    std::vector<at::Tensor> values;
    for (int64_t begin = 0; begin < batch; begin += in.micro_batch) {
      const auto part = x_BCFHW.slice(0, begin, std::min(begin + in.micro_batch, batch));
      values.push_back(with_backward_phase(in.clock, "gradient", part, [&](const at::Tensor& x) {
        auto input = score_input(in, x, step, c, begin);
        if (decoded) input.frames_BF3HW = decoded_frames(in, x);
        PhaseClock::Scope scope(in.clock, "reward");
        const auto value_B = in.rewards.value(input, in.use, in.failures);
        count_failed_gradients(in, x, value_B, step, begin);
        if (in.scores) in.scores->add(step, begin, value_B.detach());
        return value_B;
      }));
    }
    auto value_B = values.size() == 1 ? values[0] : at::cat(values);
    count_scored(value_B, in.cost);
    return value_B;
  };
}

}  // namespace thalweg
