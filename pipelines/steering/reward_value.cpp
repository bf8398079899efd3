#include "pipelines/steering/reward_value.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "pipelines/stages/backward_phase.h"

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
        if (decoded) {
          PhaseClock::Scope scope(in.clock, "decode");
          input.frames_BF3HW = in.model.decode(x);
        }
        PhaseClock::Scope scope(in.clock, "reward");
        return in.rewards.value(input, in.use, in.failures);
      }));
    }
    auto value_B = values.size() == 1 ? values[0] : at::cat(values);
    count_scored(value_B, in.cost);
    return value_B;
  };
}

}  // namespace thalweg
