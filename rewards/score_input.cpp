#include "rewards/score_input.h"

#include "engine/core/device.h"
#include "engine/core/rng.h"

namespace thalweg {
namespace {

constexpr int kNumberBits = 36, kRoundBits = 24;

at::Tensor rows(const at::Tensor& x, int64_t begin, int64_t end) {
  return x.defined() ? x.narrow(0, begin, end - begin) : x;
}

template <class T>
std::vector<T> rows(const std::vector<T>& values, int64_t begin, int64_t end) {
  if (values.empty()) return {};
  return std::vector<T>(values.begin() + begin, values.begin() + end);
}

at::Tensor chosen(const at::Tensor& x, const at::Tensor& samples) {
  return x.defined() ? x.index_select(0, samples.to(x.device())) : x;
}

template <class T>
std::vector<T> chosen(const std::vector<T>& values, const std::vector<int64_t>& samples) {
  std::vector<T> some;
  if (!values.empty())
    for (const auto b : samples) some.push_back(values[static_cast<size_t>(b)]);
  return some;
}

}  // namespace

void ScoreInput::name_next(uint64_t run_seed, int64_t number, int64_t round) {
  const auto phase = static_cast<uint64_t>(occasion.phase);
  const uint64_t id = (phase << (kNumberBits + kRoundBits)) | (static_cast<uint64_t>(round) << kNumberBits) |
                      static_cast<uint64_t>(number);
  sample_ids.push_back(id);
  seeds.push_back(random_bits(run_seed, Purpose::reward, id, 0));
}

int64_t ScoreInput::batch() const {
  for (const auto& x : {frames_BF3HW, latents_BCFHW, reference_BF3HW})
    if (x.defined() && x.dim() > 0) return x.size(0);
  return 0;
}

ScoreInput ScoreInput::on_host() const {
  ScoreInput there = *this;
  for (auto* x : {&there.frames_BF3HW, &there.latents_BCFHW, &there.sigmas_B, &there.reference_BF3HW,
                  &there.mask_BF1HW})
    if (x->defined()) *x = thalweg::on_host(*x);
  return there;
}

ScoreInput ScoreInput::select(const std::vector<int64_t>& samples) const {
  const auto numbers = at::tensor(samples, at::kLong);
  ScoreInput part = *this;
  for (auto* x :
       {&part.frames_BF3HW, &part.latents_BCFHW, &part.sigmas_B, &part.reference_BF3HW, &part.mask_BF1HW})
    *x = chosen(*x, numbers);
  part.prompts = chosen(prompts, samples);
  part.sample_ids = chosen(sample_ids, samples);
  if (sample_ids.empty()) part.sample_ids.assign(samples.begin(), samples.end());
  part.seeds = chosen(seeds, samples);
  part.group_ids = chosen(group_ids, samples);
  part.metadata_json = chosen(metadata_json, samples);
  return part;
}

ScoreInput ScoreInput::slice(int64_t begin, int64_t end) const {
  ScoreInput part = *this;
  part.frames_BF3HW = rows(frames_BF3HW, begin, end);
  part.latents_BCFHW = rows(latents_BCFHW, begin, end);
  part.sigmas_B = rows(sigmas_B, begin, end);
  part.reference_BF3HW = rows(reference_BF3HW, begin, end);
  part.mask_BF1HW = rows(mask_BF1HW, begin, end);
  part.prompts = rows(prompts, begin, end);
  part.sample_ids = rows(sample_ids, begin, end);
  // Absent ids are positions in the whole batch, so they do not start again in each part.
  if (sample_ids.empty())
    for (int64_t b = begin; b < end; ++b) part.sample_ids.push_back(static_cast<uint64_t>(b));
  part.seeds = rows(seeds, begin, end);
  part.group_ids = rows(group_ids, begin, end);
  part.metadata_json = rows(metadata_json, begin, end);
  return part;
}

ScoreInput concatenate(const std::vector<ScoreInput>& parts) {
  ScoreInput all = parts.at(0);
  const auto join_tensors = [&](at::Tensor ScoreInput::*field) {
    std::vector<at::Tensor> tensors;
    for (const auto& part : parts) tensors.push_back(part.*field);
    if ((all.*field).defined()) all.*field = at::cat(tensors);
  };
  const auto join_lists = [&](auto field) {
    for (size_t i = 1; i < parts.size(); ++i)
      (all.*field).insert((all.*field).end(), (parts[i].*field).begin(), (parts[i].*field).end());
  };
  for (const auto field : {&ScoreInput::frames_BF3HW, &ScoreInput::latents_BCFHW, &ScoreInput::sigmas_B,
                           &ScoreInput::reference_BF3HW, &ScoreInput::mask_BF1HW})
    join_tensors(field);
  join_lists(&ScoreInput::prompts);
  join_lists(&ScoreInput::sample_ids);
  join_lists(&ScoreInput::seeds);
  join_lists(&ScoreInput::group_ids);
  join_lists(&ScoreInput::metadata_json);
  return all;
}

}  // namespace thalweg
